//! Sessions made up from a seed: the same steps for the same seed, for ever.

use super::author::Author;
use super::crowd;
use super::dice::Dice;

/// Steps of one session.
const STEPS: usize = 60;
/// Every so many sessions one is of a crowd.
const CROWDS: u64 = 4;
/// Steps of one that no server but ours survives.
const DEADLY_STEPS: usize = 300;

/// What every session begins with, so that most commands find something.
const BEGINNING: [&str; 6] = [
    "root create-stream s0",
    "root create-topic s0 t0 2",
    "root create-topic s0 t1 1",
    "root create-group s0/t1 g0",
    "root create-user u0 secret 1 none",
    "guest login u0 secret",
];

/// How sessions go on that chance would rarely bring about. They have the first seeds.
const WRITTEN: [&[&str]; 23] = [
    &["root send s0/t0 p0 m1 m2", "root send s0/t0 p0 m1 m2"],
    &[
        "root send s0/t0 p0 m1",
        "root drop-partitions s0/t0 2",
        "root send s0/t0 key=abc m2",
        "root topic s0/t0",
    ],
    &[
        "root send s0/t1 p0 m1",
        "root join s0/t1/g0",
        "root sync s0/t1/g0",
        "root store g:g0 s0/t1 0 0",
        "root leave s0/t1/g0",
        "root forget g:g0 s0/t1 0",
    ],
    &["root send s0/t1 p0 m1", "root join s0/t1/g0", "root poll g:g0 s0/t1 none first 10"],
    &["root create-topic s0 t2 1", "root send s0/t2 p0 m1 m2", "root delete-topic s0/t2", "root stats"],
    &["root send s0/t0 p0 void", "root send s0/t0 p0 m1 void m2", "root poll c1 s0/t0 0 first 10"],
    &["root send s0/t0 p1 m1", "root drop-partitions s0/t0 1", "root topics s0"],
    &["root send s0/t0 p0", "root topic s0/t0"],
    &["root update-user u0 = 2", "guest me"],
    &["root delete-user u0", "guest me"],
    &["root create-topic s0 t2 1 durability=persisted"],
    &["guest logout", "root client guest", "root clients"],
    &["root update-user u0 = 9", "root user u0"],
    &["root create-token short 0", "root tokens"],
    &["guest login u9 blank", "guest me"],
    &["root send s0/t0 p0 m1 lie", "root topic s0/t0"],
    &[
        "root attach twin",
        "root attach nobody",
        "guest route c1 s0/t0 0 next 1",
        "root poll-primary g:g0 s0/t1 none next 1 commit",
        "root route-offset c1 s0/t9 0",
        "stranger attach root",
        "root password u0 better long",
    ],
    &[
        "root send s0/t1 p0 m1",
        "root store g:g9 s0/t1 0 0",
        "root offset g:g9 s0/t1 0",
        "root forget g:g9 s0/t1 0",
        "root store g:#g9 s0/t1 0 0",
        "root offset g:#g9 s0/t1 0",
        "root forget g:#g9 s0/t1 0",
        "root poll g:g9 s0/t1 0 next 1",
        "root poll g:#g9 s0/t1 0 next 1",
        "root forget g:g0 s0/t1 7",
        "root offset g:g9 s0/t1 7",
        "root offset g:#g9 s0/t1 7",
        "root forget c1 s0/t1 7",
        "root store c1 s0/t1 7 0",
        "root offset c1 s0/t1 7",
        "root forget c1 s0/t1 0",
        "root offset c1 s0/t1 0",
    ],
    &[
        "root create-topic s0 t3 4",
        "root create-group s0/t3 g3",
        "root join s0/t3/g3",
        "root send s0/t3 p0 m1",
        "root send s0/t3 p1 m2",
        "root send s0/t3 p2 m3",
        "root send s0/t3 p3 m4",
        "all read s0/t3/g3",
        "twin join s0/t3/g3",
        "third join s0/t3/g3",
        "all commit s0/t3/g3",
        "all share s0/t3/g3",
    ],
    &[
        TWO_MEMBERS,
        "twin leave s0/t3/g3",
        "third join s0/t3/g3",
        "all share s0/t3/g3",
        "all read s0/t3/g3",
        "all commit s0/t3/g3",
        "all share s0/t3/g3",
    ],
    &[
        TWO_MEMBERS,
        "root add-partitions s0/t3 1",
        "all share s0/t3/g3",
        "all read s0/t3/g3",
        "all commit s0/t3/g3",
        "all share s0/t3/g3",
    ],
    &[
        TWO_MEMBERS,
        "root drop-partitions s0/t3 2",
        "all share s0/t3/g3",
        "all read s0/t3/g3",
        "all commit s0/t3/g3",
        "all share s0/t3/g3",
    ],
    &[
        TWO_MEMBERS,
        "twin hang-up s0/t3/g3",
        "all share s0/t3/g3",
        "all read s0/t3/g3",
        "root delete-group s0/t3/g3",
        "all share s0/t3/g3",
        "root create-group s0/t3 g3",
        "all share s0/t3/g3",
        "twin join s0/t3/g3",
        "all read s0/t3/g3",
    ],
];

/// Stands in a written session for the steps of [`WITH_TWO_MEMBERS`].
const TWO_MEMBERS: &str = "two members";

/// Two members of a group, each with two messages in hand.
const WITH_TWO_MEMBERS: [&str; 9] = [
    "root create-topic s0 t3 4",
    "root create-group s0/t3 g3",
    "root join s0/t3/g3",
    "twin join s0/t3/g3",
    "root send s0/t3 p0 m1",
    "root send s0/t3 p1 m2",
    "root send s0/t3 p2 m3",
    "root send s0/t3 p3 m4",
    "all read s0/t3/g3",
];

/// The steps of the session with this seed.
pub(crate) fn session(seed: u64) -> Vec<String> {
    let mut steps = beginning();
    if let Some(written) = usize::try_from(seed).ok().and_then(|seed| WRITTEN.get(seed)) {
        for step in *written {
            let meant = if *step == TWO_MEMBERS { &WITH_TWO_MEMBERS[..] } else { std::slice::from_ref(step) };
            steps.extend(meant.iter().map(|step| (*step).to_owned()));
        }
    } else if seed.is_multiple_of(CROWDS) {
        steps.extend(crowd::session(Dice::new(seed)));
    } else {
        let mut author = Author::new(seed);
        steps.extend((0..STEPS).map(|_| author.step()));
    }
    steps
}

/// A session of what would end Iggy's server: every command that may, with bodies cut, of noise, and empty names.
pub(crate) fn deadly_session() -> Vec<String> {
    let mut author = Author::new(0);
    let mut steps = beginning();
    steps.extend((0..DEADLY_STEPS).map(|_| author.deadly_step()));
    steps.push("root ping".to_owned());
    steps
}

fn beginning() -> Vec<String> {
    BEGINNING.iter().map(|step| (*step).to_owned()).collect()
}
