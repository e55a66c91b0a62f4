//! The two pools of threads that run guests: a few for those that are known to be quick, and many of low priority for
//! those that may take their time.

/// Which threads run the guests of a component.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Pool {
    /// Guests that only compute, and were quick so far.
    Computing,
    /// Guests that may wait for something outside of the host, newcomers, and those that were slow.
    Waiting,
}

impl Pool {
    /// Both.
    pub(crate) const ALL: [Self; 2] = [Self::Computing, Self::Waiting];
}

/// One value for each pool.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct PerPool<T> {
    pub(crate) computing: T,
    pub(crate) waiting: T,
}

impl<T> PerPool<T> {
    /// The value of one pool.
    pub(crate) fn of(&self, pool: Pool) -> &T {
        match pool {
            Pool::Computing => &self.computing,
            Pool::Waiting => &self.waiting,
        }
    }

    /// The value of one pool, to be changed.
    pub(crate) fn of_mut(&mut self, pool: Pool) -> &mut T {
        match pool {
            Pool::Computing => &mut self.computing,
            Pool::Waiting => &mut self.waiting,
        }
    }
}
