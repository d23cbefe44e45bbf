//! A member of a pool as its host sees it: how it opens the pool, breaks it, and leaves it.

use std::sync::Arc;

use pyo3::prelude::*;

use super::host::{Host, Place};
use crate::engine::waits::WAITS;
use crate::py::message::fault::Force;

impl Host {
    /// The member's first constructor has returned, or never will. Returns whether the pool opens by
    /// that.
    pub(in crate::py) fn be_born(&self) -> bool {
        let place = self.place.get();
        place.is_some_and(|place| place.team.be_born(place.index))
    }

    /// Ends the pool of this member, whose first constructor has raised. Call it detached.
    pub(in crate::py) fn break_pool(&self) {
        let place = self.place.get();
        let pool = place.and_then(Place::pool);
        let (Some(place), Some(pool), Some(fault)) = (place, pool, self.fault.get()) else {
            return;
        };
        let fault = fault.of_member(&self.name);
        let others = || {
            let members = pool.members().iter();
            members.filter(|member| member.tally.node.id != self.tally.node.id)
        };
        // The pool closes the mailboxes of its members, which must be able to say why.
        others().for_each(|member| _ = member.fault.get_or_init(|| fault.clone()));
        pool.fail(fault.clone(), Vec::new());
        others().for_each(|member| member.fail(fault.clone(), Vec::new()));
        place.team.open();
    }

    /// The member's thread ends. If it is the last, the pool ends, by the member's fault if there is
    /// one. Call it detached, without a lock.
    pub(in crate::py) fn leave_pool(&self) {
        let Some((place, pool)) = self
            .place
            .get()
            .and_then(|place| Some((place, place.take_pool()?)))
        else {
            return;
        };
        self.be_born();
        // Attached: see `Waits`. What is refused is told without a lock.
        let refused = Python::attach(|_| WAITS.end(&self.tally.node));
        for refuse in refused {
            refuse();
        }
        if place.team.leave() {
            if let Some(fault) = self.fault.get() {
                pool.fail(fault.of_member(&self.name), Vec::new());
            }
            pool.close_mailbox();
            pool.ended.set();
        }
    }

    /// Ends the members of this pool, if it is one.
    pub(super) fn end_members(&self, py: Python<'_>, force: Force) -> PyResult<()> {
        let members = self.members();
        for member in members {
            // First, so that none takes what another has left.
            member.force.raise(force);
            if let Some(place) = member.place.get() {
                place.team.open();
            }
        }
        let ended = members.iter().map(|member| member.end_by(py, force));
        // All of them, whatever one raises.
        ended.fold(Ok(()), PyResult::and)
    }

    pub(in crate::py) fn members(&self) -> &[Arc<Self>] {
        self.members.get().map_or(&[], |members| members)
    }
}
