//! Sessions of several members of one group, whose topic has several partitions. A partition goes to another member
//! at once, or when what was read of it is committed; both servers do so, but choose other partitions. What was read is
//! therefore committed before partitions are shared out anew, except when a member joins.

use super::dice::Dice;
use super::members::MEMBERS;

/// Changes of one session.
const CHANGES: usize = 8;

/// The steps of a session, after its beginning.
pub(super) fn session(dice: Dice) -> Vec<String> {
    let mut crowd = Crowd { dice, partitions: 0, messages: 0, steps: Vec::new() };
    crowd.partitions = 1 + crowd.dice.below(5);
    crowd.say(&format!("root create-topic s0 t3 {}", crowd.partitions));
    crowd.say("root create-group s0/t3 g3");
    crowd.say("root join s0/t3/g3");
    for _ in 0..CHANGES {
        crowd.change();
    }
    crowd.steps
}

struct Crowd {
    dice: Dice,
    partitions: usize,
    messages: usize,
    steps: Vec<String>,
}

impl Crowd {
    fn say(&mut self, step: &str) {
        self.steps.push(step.to_owned());
    }

    /// Everybody reads, somebody comes or goes, and everybody sees what is whose.
    fn change(&mut self) {
        self.fill();
        self.say("all read s0/t3/g3");
        let who = self.dice.pick(&MEMBERS);
        match self.dice.below(12) {
            0..3 => {
                self.say(&format!("{who} join s0/t3/g3"));
                self.look();
                self.say("all commit s0/t3/g3");
            }
            change => {
                self.say("all commit s0/t3/g3");
                self.say("all share s0/t3/g3");
                self.settled_change(change, who);
            }
        }
        self.look();
    }

    /// A message for each partition.
    fn fill(&mut self) {
        for partition in 0..self.partitions {
            self.messages += 1;
            self.say(&format!("root send s0/t3 p{partition} m{}", self.messages));
        }
    }

    /// A change while nothing that was read is uncommitted.
    fn settled_change(&mut self, change: usize, who: &str) {
        match change {
            3..6 => self.say(&format!("{who} join s0/t3/g3")),
            6 | 7 => self.say(&format!("{who} leave s0/t3/g3")),
            8 => self.say(&format!("{who} hang-up s0/t3/g3")),
            9 => {
                self.partitions += 1;
                self.say("root add-partitions s0/t3 1");
            }
            10 if self.partitions > 1 => {
                self.partitions -= 1;
                self.say("root drop-partitions s0/t3 1");
            }
            _ => {
                self.say("root delete-group s0/t3/g3");
                self.say("root create-group s0/t3 g3");
                self.say(&format!("{who} join s0/t3/g3"));
            }
        }
    }

    fn look(&mut self) {
        self.say("all share s0/t3/g3");
        let look =
            self.dice.pick(&["root group s0/t3/g3", "root groups s0/t3", "root client third", "twin me"]);
        self.say(look);
    }
}
