//! The two pools of threads that run guests: one for those that only compute, one for those that may wait.

/// Which threads run the guests of a component.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Pool {
    /// Guests that hold their thread only while they compute.
    Computing,
    /// Guests that may hold it while they wait for something outside of the host.
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
