//! A family of metrics: its name, its kind and what it says.

use prometheus::proto::MetricType;

/// One family.
#[derive(Debug, Clone, Copy)]
pub(super) struct Family {
    pub(super) name: &'static str,
    pub(super) help: &'static str,
    pub(super) kind: MetricType,
}

/// Makes constants of families, and the list of all of them, from one table.
macro_rules! families {
    ($($constant:ident: $kind:ident $name:literal $help:literal;)+) => {
        $(const $constant: Family = Family { name: $name, help: $help, kind: MetricType::$kind };)+

        /// All families of this module.
        pub(super) const ALL: &[Family] = &[$($constant),+];
    };
}

pub(super) use families;
