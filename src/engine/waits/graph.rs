//! The waits as a graph, and the search for those that would never end.

use std::collections::hash_map::Entry;
use std::collections::{HashMap, HashSet, VecDeque};
use std::sync::Arc;
use std::sync::atomic::Ordering;

use super::node::{Circle, How, Node, Refuse, Refused, Target};

pub(super) struct Wait {
    pub(super) number: u64,
    pub(super) how: How,
    /// It ends when one of them has happened.
    pub(super) targets: Vec<Target>,
    pub(super) refuse: Arc<dyn Refuse>,
}

impl Wait {
    fn is_over(&self) -> bool {
        self.targets.iter().any(|target| target.pending.is_over())
    }

    /// Whether it ends some time, if those in `lively` go on.
    fn ends(&self, lively: &HashSet<u64>) -> bool {
        self.targets
            .iter()
            .any(|target| lively.contains(&target.node.id))
    }
}

/// An actor that waits.
pub(super) struct Waiter {
    pub(super) node: Arc<Node>,
    pub(super) waits: Vec<Wait>,
}

/// The waits that have lasted for a moment.
#[derive(Default)]
pub(super) struct Graph {
    pub(super) next: u64,
    /// By the id of the actor that waits.
    pub(super) waiters: HashMap<u64, Waiter>,
}

impl Graph {
    /// The waits of an actor that are not over.
    pub(super) fn all_of(&self, node: &Node) -> impl Iterator<Item = &Wait> {
        let waiter = self.waiters.get(&node.id);
        let waits = waiter.map_or(&[][..], |waiter| &waiter.waits);
        waits.iter().filter(|wait| !wait.is_over())
    }

    /// Those without which the actor does nothing.
    pub(super) fn of(&self, node: &Node) -> impl Iterator<Item = &Wait> {
        self.all_of(node).filter(|wait| wait.how.is_blocked())
    }

    /// The nodes that this one waits for, or whose members it stands for. Those in `lively` and waits
    /// that end by them are left out.
    fn next(&self, node: &Node, lively: &HashSet<u64>) -> Vec<Arc<Node>> {
        let mut found = node.members.get().cloned().unwrap_or_default();
        let stuck = self.of(node).filter(|wait| !wait.ends(lively));
        let targets = stuck.flat_map(|wait| &wait.targets);
        found.extend(targets.map(|target| Arc::clone(&target.node)));
        found.retain(|node| !lively.contains(&node.id));
        found
    }

    /// Whether the node goes on some time, if those in `lively` do.
    fn goes_on(&self, node: &Node, lively: &HashSet<u64>) -> bool {
        let is_lively = |one: &Arc<Node>| lively.contains(&one.id);
        if let Some(members) = node.members.get() {
            let ended = |one: &Node| one.has_ended.load(Ordering::Relaxed);
            let mut rest = members.iter().filter(|one| !ended(one)).peekable();
            // Without members it fails its messages.
            return rest.peek().is_none() || rest.any(is_lively);
        }
        self.of(node).all(|wait| wait.ends(lively))
    }

    /// The nodes that are reached from `start`, along what they wait for.
    fn reached(&self, start: &Arc<Node>) -> Vec<Arc<Node>> {
        let mut seen = HashSet::from([start.id]);
        let mut found = vec![Arc::clone(start)];
        let mut at = 0;
        while let Some(node) = found.get(at) {
            at += 1;
            for next in self.next(node, &HashSet::new()) {
                if seen.insert(next.id) {
                    found.push(next);
                }
            }
        }
        found
    }

    /// Of the nodes that are reached from this one, those that go on some time.
    pub(super) fn lively(&self, node: &Arc<Node>) -> HashSet<u64> {
        let mut rest = self.reached(node);
        let mut lively = HashSet::new();
        loop {
            let before = rest.len();
            rest.retain(|one| {
                let goes_on = self.goes_on(one, &lively);
                if goes_on {
                    lively.insert(one.id);
                }
                !goes_on
            });
            if rest.len() == before {
                return lively;
            }
        }
    }

    /// Why a wait of this actor would never end, if it is in a circle and those in `lively` go on. The
    /// names are those on a shortest way around. Pools are left out: their members wait.
    pub(super) fn refused(
        &self,
        waiter: &Arc<Node>,
        wait: &Wait,
        lively: &HashSet<u64>,
    ) -> Option<Refused> {
        if wait.ends(lively) {
            return None;
        }
        let mut before: HashMap<u64, Arc<Node>> = HashMap::new();
        let targets = wait.targets.iter().map(|target| Arc::clone(&target.node));
        let mut todo: VecDeque<_> = targets.map(|node| (node, Arc::clone(waiter))).collect();
        while let Some((node, from)) = todo.pop_front() {
            if let Entry::Vacant(entry) = before.entry(node.id) {
                entry.insert(from);
                let next = self.next(&node, lively).into_iter();
                todo.extend(next.map(|next| (next, Arc::clone(&node))));
            }
        }
        let (mut names, mut at) = (Vec::new(), waiter);
        let first = loop {
            let from = before.get(&at.id)?;
            if !from.is_pool() {
                names.push(from.name.clone());
            }
            if from.id == waiter.id {
                break at.id;
            }
            at = from;
        };
        names.reverse();
        let target = wait.targets.iter().position(|one| one.node.id == first)?;
        let circle = Circle(names);
        Some(Refused { target, circle })
    }

    /// A wait for a pool that would never end, because of the end of a member.
    pub(super) fn stuck_by_end(&self) -> Option<(u64, u64, Refused)> {
        self.waiters.values().find_map(|Waiter { node, waits }| {
            let lively = self.lively(node);
            if lively.contains(&node.id) {
                return None;
            }
            let mut for_pools = waits.iter().filter(|wait| {
                wait.how.is_blocked()
                    && !wait.is_over()
                    && wait.targets.iter().any(|target| target.node.is_pool())
            });
            for_pools
                .find_map(|wait| Some((node.id, wait.number, self.refused(node, wait, &lively)?)))
        })
    }

    pub(super) fn remove(&mut self, waiter: u64, number: u64) -> Option<Wait> {
        let waits = &mut self.waiters.get_mut(&waiter)?.waits;
        let at = waits.iter().position(|wait| wait.number == number)?;
        let wait = waits.swap_remove(at);
        if waits.is_empty() {
            self.waiters.remove(&waiter);
        }
        Some(wait)
    }
}
