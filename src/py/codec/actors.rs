//! The actors that an object refers to. They are listed beside its pickle, so that what keeps them
//! alive does not depend on whether the pickle is ever loaded.
//!
//! A reference finds out from here whether it is being packed, and for whom. When it is loaded, it
//! finds its actor here.

use std::any::Any;
use std::cell::RefCell;
use std::sync::Arc;

use crate::engine::ipc::relay::{member_number, split_number};

/// Keeps an actor alive, or the way to it. Dropping it may run Python code and take locks, so it is
/// dropped without a lock.
pub(in crate::py) trait Referent: Send + Sync {
    /// The number by which the two processes of a link mean this actor.
    fn number(&self) -> u64;

    /// For what is above this folder: what it really is.
    fn as_any(&self) -> &dyn Any;
}

pub(in crate::py) type Hold = Arc<dyn Referent>;

/// What another process must know of an actor to refer to it.
#[derive(Clone, Debug)]
pub(in crate::py) struct Description {
    /// The number by which the two processes of a link mean it.
    pub(in crate::py) number: u64,
    /// Its name. That of a member is the pool's, to which its index is added.
    name: String,
    pub(in crate::py) is_bounded: bool,
    /// How many members its pool has. 0: it has none.
    pub(in crate::py) size: usize,
    /// How many messages it handles at a time, or each member of its pool.
    pub(in crate::py) places: usize,
}

/// A `Description` for Python.
pub(in crate::py) type Described = (u64, String, bool, usize, usize);

impl Description {
    pub(in crate::py) fn new(
        number: u64,
        name: &str,
        is_bounded: bool,
        size: usize,
        places: usize,
    ) -> Self {
        Self {
            number,
            name: name.to_owned(),
            is_bounded,
            size,
            places,
        }
    }

    /// Of the member of this pool with this index.
    pub(in crate::py) fn member(&self, index: usize) -> Self {
        let number = member_number(split_number(self.number).0, index);
        Self {
            number,
            ..self.clone()
        }
    }

    /// Of the pool of this member.
    pub(in crate::py) fn pool(&self) -> Self {
        let number = split_number(self.number).0;
        Self {
            number,
            ..self.clone()
        }
    }

    /// The index of a member.
    pub(in crate::py) fn index(&self) -> Option<usize> {
        split_number(self.number).1
    }

    /// The actor's name in errors and the log.
    pub(in crate::py) fn name(&self) -> String {
        match self.index() {
            Some(index) => format!("{}[{index}]", self.name),
            None => self.name.clone(),
        }
    }

    pub(in crate::py) fn described(self) -> Described {
        let Self {
            number,
            name,
            is_bounded,
            size,
            places,
        } = self;
        (number, name, is_bounded, size, places)
    }

    pub(in crate::py) fn of((number, name, is_bounded, size, places): Described) -> Self {
        Self {
            number,
            name,
            is_bounded,
            size,
            places,
        }
    }
}

/// For whom an object is packed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::py) enum Receiver {
    /// An actor in a process that this one has started.
    Child,
    /// The process that has started this one, or an actor that is reached through it.
    Parent,
}

thread_local! {
    /// What this thread packs at this moment.
    static PACKING: RefCell<Option<(Receiver, Vec<Hold>)>> = const { RefCell::new(None) };
    /// The actors of what this thread loads at this moment.
    static LOADING: RefCell<Vec<Hold>> = const { RefCell::new(Vec::new()) };
}

/// Runs `pack`, and returns the actors to which references were packed in the meantime.
pub(super) fn packing<T>(receiver: Receiver, pack: impl FnOnce() -> T) -> (T, Vec<Hold>) {
    let outer = PACKING.replace(Some((receiver, Vec::new())));
    let packed = pack();
    let (_, actors) = PACKING.replace(outer).unwrap_or((receiver, Vec::new()));
    (packed, actors)
}

/// For whom this thread packs at this moment. `None`: something else pickles.
pub(in crate::py) fn receiver() -> Option<Receiver> {
    PACKING.with_borrow(|packing| packing.as_ref().map(|(receiver, _)| *receiver))
}

/// Lists an actor to which a reference is being packed.
pub(in crate::py) fn list(actor: Hold) {
    PACKING.with_borrow_mut(|packing| {
        let listed = packing.as_mut().map(|(_, actors)| actors);
        if let Some(actors) = listed
            && actors.iter().all(|one| one.number() != actor.number())
        {
            actors.push(actor);
        }
    });
}

/// Runs `load`, in which references find these actors.
pub(super) fn loading<T>(actors: &[Hold], load: impl FnOnce() -> T) -> T {
    if actors.is_empty() {
        return load();
    }
    let outer = LOADING.replace(actors.to_vec());
    let loaded = load();
    drop(LOADING.replace(outer));
    loaded
}

/// The actor of a reference that is being loaded. `None`: it is not listed where it was found.
pub(in crate::py) fn find(number: u64) -> Option<Hold> {
    LOADING.with_borrow(|actors| {
        let mut actors = actors.iter();
        actors.find(|one| one.number() == number).map(Arc::clone)
    })
}
