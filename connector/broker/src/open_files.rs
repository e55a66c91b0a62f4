//! The limit of open files of this process: raised to what the system allows, and told in words where it is in the way.

use std::error::Error;
use std::io;

use rustix::io::Errno;
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

/// How many files this process may have open.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FileLimit {
    /// How many it may have open now; absent when there is no limit.
    pub soft: Option<u64>,
    /// How far it may raise that by itself; absent when there is no limit.
    pub hard: Option<u64>,
}

/// The limit as it is now.
pub fn limit() -> FileLimit {
    let Rlimit { current, maximum } = getrlimit(Resource::Nofile);
    FileLimit { soft: current, hard: maximum }
}

/// Raises the soft limit of open files of this process to its hard one, and gives back the limit that holds then. A limit
/// belongs to the whole process, so a program does this at its start, and a library only when it is asked to: code that
/// still waits with `select(2)` cannot handle files beyond the 1,024th.
pub fn raise() -> FileLimit {
    let found = limit();
    if found.soft != found.hard {
        // A system that refuses leaves the limit as it was, which is what is given back.
        let _refused = setrlimit(Resource::Nofile, Rlimit { current: found.hard, maximum: found.hard });
    }
    limit()
}

/// What stands in the way and what to do, when an error or one of its causes says that no more files can be opened.
pub fn explain(error: &(dyn Error + 'static)) -> Option<String> {
    let mut cause = Some(error);
    while let Some(error) = cause {
        if let Some(code) = error.downcast_ref::<io::Error>().and_then(io::Error::raw_os_error) {
            return explain_code(code, limit());
        }
        cause = error.source();
    }
    None
}

fn explain_code(code: i32, limit: FileLimit) -> Option<String> {
    match Errno::from_raw_os_error(code) {
        Errno::MFILE => {
            let soft = limit.soft.map_or("no limit".to_owned(), |soft| soft.to_string());
            Some(format!(
                "this process may have {soft} open files and has that many; raise the limit (`ulimit -n`, or \
                 `LimitNOFILE=` in a unit of systemd), or use fewer partitions or components"
            ))
        }
        Errno::NFILE => Some("the machine has as many open files as it may; raise `fs.file-max`".to_owned()),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_want_of_files_is_explained() {
        let limit = FileLimit { soft: Some(1_024), hard: Some(4_096) };
        let told = |errno: Errno| explain_code(errno.raw_os_error(), limit);
        let text = told(Errno::MFILE).unwrap();
        assert!(text.starts_with("this process may have 1024 open files and has that many; raise"), "{text}");
        assert!(told(Errno::NFILE).unwrap().contains("fs.file-max"));
        assert_eq!(told(Errno::NOSPC), None);
        assert!(explain(&io::Error::from_raw_os_error(Errno::MFILE.raw_os_error())).is_some());
        assert_eq!(explain(&io::Error::other("something else")), None);
    }

    #[test]
    fn raising_reaches_the_hard_limit() {
        let raised = raise();
        assert_eq!(raised.soft, raised.hard);
        assert_eq!(raised, limit());
    }
}
