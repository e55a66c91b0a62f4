//! How often something happened, over a life or several.

/// Declares the tallies, with the names of those that must happen now and then.
macro_rules! tallies {
    ($($field:ident $(= $name:literal)?,)+) => {
        /// How often something happened, over a life.
        #[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
        pub(super) struct Tallies {
            $(pub(super) $field: u64,)+
        }

        impl Tallies {
            /// What must happen now and then.
            pub(super) fn named(&self) -> Vec<(&'static str, u64)> {
                vec![$($(($name, self.$field),)?)+]
            }
        }

        impl std::ops::AddAssign for Tallies {
            fn add_assign(&mut self, other: Self) {
                $(self.$field += other.$field;)+
            }
        }
    };
}

tallies! {
    steps = "a step",
    handled = "handling",
    repeated = "handling again",
    // Repeats that losses of partitions and hosts explain.
    repeats_max,
    recognised = "an event known as handled",
    copies = "another copy of a handled event",
    dead = "a dead letter",
    condemned = "a condemned event",
    commits = "a commit",
    refused_commits = "a refused commit",
    crashes = "a crash",
    revocations = "a loss of a partition",
    pauses = "a pause of a handler",
    blocked = "a stopped lane",
    unblocked = "a stopped lane that goes on",
    parked = "a parked event",
    long_waits = "a wait in the parked log",
    releases = "a release",
    drops = "a dropped event",
    stale_commands = "a command that comes too late",
    claims = "a claim on a parked partition",
}
