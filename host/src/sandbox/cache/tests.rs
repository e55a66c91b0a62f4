//! Code that is kept comes back whole or not at all.

use std::collections::BTreeSet;

use tempfile::TempDir;

use super::*;
use crate::handler::HandlerName;
use crate::route::TenantScope;
use crate::sandbox::fixtures::{EXPORT_BATCH, EXPORT_HANDLER, actor};

struct Kit {
    dir: TempDir,
    cache: Cache,
    handlers: [HandlerName; 2],
    components: [blake3::Hash; 2],
    artifact: Artifact,
}

impl Kit {
    fn new() -> Self {
        let dir = TempDir::new().unwrap();
        let [batch, event] = [actor(&[EXPORT_BATCH]), actor(&[EXPORT_HANDLER])];
        Self {
            cache: open(dir.path(), 1 << 30),
            dir,
            handlers: ["one", "two"].map(|name| HandlerName::new(name).unwrap()),
            components: [blake3::hash(&batch), blake3::hash(&event)],
            artifact: Artifact::make(&batch).unwrap(),
        }
    }

    fn code(&self, handler: usize) -> CodeFor<'_> {
        CodeFor {
            component: &self.components[0],
            handler: &self.handlers[handler],
            tenants: &TenantScope::All,
        }
    }

    fn keep(&self, handler: usize) -> PathBuf {
        self.cache.write(&self.code(handler), &self.artifact).unwrap();
        self.cache.path(&self.code(handler))
    }
}

fn open(dir: &Path, bytes_max: u64) -> Cache {
    Cache::open(&CacheSettings { dir: dir.to_owned(), bytes_max }, &Engines::new().unwrap()).unwrap()
}

fn mode(path: &Path) -> u32 {
    fs::metadata(path).unwrap().mode() & 0o777
}

#[test]
fn what_is_kept_comes_back_and_loads_also_after_a_restart() {
    let kit = Kit::new();
    assert!(kit.cache.read(&kit.code(0)).is_none());
    let path = kit.keep(0);
    let again = open(kit.dir.path(), 1 << 30);
    for cache in [&kit.cache, &again] {
        let artifact = cache.read(&kit.code(0)).unwrap();
        assert_eq!(artifact.to_bytes(), kit.artifact.to_bytes());
        artifact.load(&Engines::new().unwrap()).unwrap();
    }
    assert_eq!((mode(kit.dir.path()), mode(&path), mode(&kit.dir.path().join("key"))), (0o700, 0o600, 0o600));
}

#[test]
fn a_file_altered_at_any_of_a_thousand_places_is_not_used() {
    let kit = Kit::new();
    let path = kit.keep(0);
    let whole = fs::read(&path).unwrap();
    for place in 0..1_000 {
        let mut altered = whole.clone();
        let position = place * whole.len() / 1_000;
        altered[position] ^= 1 << (place % 8);
        fs::write(&path, &altered).unwrap();
        assert!(kit.cache.read(&kit.code(0)).is_none(), "altered at {position}");
    }
    fs::write(&path, &whole).unwrap();
    assert!(kit.cache.read(&kit.code(0)).is_some());
}

#[test]
fn a_file_that_is_cut_or_longer_is_not_used() {
    let kit = Kit::new();
    let path = kit.keep(0);
    let whole = fs::read(&path).unwrap();
    let cut = (0..whole.len()).step_by(whole.len() / 100).chain([whole.len() - 1]);
    for end in cut {
        fs::write(&path, &whole[..end]).unwrap();
        assert!(kit.cache.read(&kit.code(0)).is_none(), "cut at {end}");
    }
    fs::write(&path, [whole.as_slice(), b"x"].concat()).unwrap();
    assert!(kit.cache.read(&kit.code(0)).is_none());
}

#[test]
fn the_files_of_two_handlers_cannot_take_each_others_place() {
    let kit = Kit::new();
    let (one, two) = (kit.keep(0), kit.keep(1));
    assert_ne!(one, two);
    fs::copy(&one, &two).unwrap();
    assert!(kit.cache.read(&kit.code(0)).is_some());
    assert!(kit.cache.read(&kit.code(1)).is_none());
}

#[test]
fn another_component_other_tenants_another_engine_and_another_key_do_not_match() {
    let kit = Kit::new();
    let bytes = fs::read(kit.keep(0)).unwrap();
    let (key, engine, code) = (&kit.cache.key, &kit.cache.engine, kit.code(0));
    assert!(file::open(&bytes, key, engine, &code).is_ok());
    let only =
        |names: &[&str]| TenantScope::Only(names.iter().map(|name| (*name).into()).collect::<BTreeSet<_>>());
    for tenants in [TenantScope::Platform, only(&[]), only(&["a"]), only(&["a", "b"]), only(&["ab"])] {
        let other = CodeFor { tenants: &tenants, ..code };
        assert_eq!(file::open(&bytes, key, engine, &other).unwrap_err(), Mismatch::Altered);
    }
    let other = CodeFor { component: &kit.components[1], ..code };
    assert_eq!(file::open(&bytes, key, engine, &other).unwrap_err(), Mismatch::Altered);
    assert_eq!(file::open(&bytes, key, &[7; 32], &code).unwrap_err(), Mismatch::OtherEngine);
    let elsewhere = TempDir::new().unwrap();
    let other_key = open(elsewhere.path(), 1 << 30).key;
    assert_eq!(file::open(&bytes, &other_key, engine, &code).unwrap_err(), Mismatch::Altered);
}

#[test]
fn a_key_that_others_could_read_is_replaced_and_what_it_vouched_for_is_made_again() {
    let kit = Kit::new();
    kit.keep(0);
    let key = kit.dir.path().join("key");
    fs::set_permissions(&key, Permissions::from_mode(0o644)).unwrap();
    let old = fs::read(&key).unwrap();
    let again = open(kit.dir.path(), 1 << 30);
    assert_ne!(fs::read(&key).unwrap(), old);
    assert!(again.read(&kit.code(0)).is_none());
    fs::write(&key, b"short").unwrap();
    open(kit.dir.path(), 1 << 30);
    assert_eq!(fs::metadata(&key).unwrap().len(), 32);
}

#[test]
fn the_files_used_longest_ago_make_room() {
    let kit = Kit::new();
    let length = fs::metadata(kit.keep(0)).unwrap().len();
    fs::remove_file(kit.cache.path(&kit.code(0))).unwrap();
    let cache = open(kit.dir.path(), 2 * length);
    let tenants: Vec<_> = ["a", "b", "c"].map(|name| TenantScope::Only([name.into()].into())).into();
    let code = |number: usize| CodeFor { tenants: &tenants[number], ..kit.code(0) };
    let age = |number: usize, seconds: u64| {
        let file = fs::OpenOptions::new().write(true).open(cache.path(&code(number))).unwrap();
        file.set_modified(SystemTime::UNIX_EPOCH + std::time::Duration::from_secs(seconds)).unwrap();
    };
    cache.write(&code(0), &kit.artifact).unwrap();
    cache.write(&code(1), &kit.artifact).unwrap();
    age(0, 1_000);
    age(1, 2_000);
    // Being used makes it young again.
    assert!(cache.read(&code(0)).is_some());
    cache.write(&code(2), &kit.artifact).unwrap();
    let kept: Vec<bool> = (0..3).map(|number| cache.read(&code(number)).is_some()).collect();
    assert_eq!(kept, [true, false, true]);
    assert!(open(kit.dir.path(), length - 1).read(&code(0)).is_none(), "larger than the whole cache");
}

#[test]
fn what_was_left_unfinished_is_removed_and_an_open_directory_is_closed() {
    let dir = TempDir::new().unwrap();
    fs::set_permissions(dir.path(), Permissions::from_mode(0o777)).unwrap();
    fs::write(dir.path().join("half.unfinished"), b"half").unwrap();
    open(dir.path(), 1 << 30);
    assert_eq!(mode(dir.path()), 0o700);
    assert!(!dir.path().join("half.unfinished").exists());
}
