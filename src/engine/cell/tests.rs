//! Every transition of a cell, and the race of begin and cancel.

use super::*;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

type TestCell = Cell<&'static str, u32, &'static str>;

impl Claimable for &'static str {
    fn withdraw(&self) -> bool {
        *self != "begun elsewhere"
    }

    fn has_begun(&self) -> bool {
        *self == "begun elsewhere"
    }

    fn ask(&self) -> bool {
        *self == "begun elsewhere"
    }
}

/// An outcome that is a cancellation.
const STOPPED: u32 = u32::MAX;

impl Ending for u32 {
    fn is_cancellation(&self) -> bool {
        *self == STOPPED
    }
}

fn cell_in(phase: Phase) -> TestCell {
    let cell = TestCell::default();
    if phase == Phase::Pending {
        cell.post("message");
    } else {
        cell.force(phase, || 7);
    }
    cell
}

const PHASES: [Phase; 6] = [
    Phase::Pending,
    Phase::Running,
    Phase::Cancelled,
    Phase::Notified,
    Phase::Stopped,
    Phase::Finished,
];

#[test]
fn every_event_in_every_phase() {
    use Phase::{Cancelled, Finished, Notified, Pending, Running, Stopped};
    // phase, then the phase after: begin, settle, cancel, advance
    let table = [
        (Pending, Running, Finished, Notified, Running),
        (Running, Running, Finished, Running, Running),
        (Cancelled, Cancelled, Cancelled, Cancelled, Notified),
        (Notified, Notified, Notified, Notified, Notified),
        (Stopped, Stopped, Stopped, Stopped, Stopped),
        (Finished, Finished, Finished, Finished, Finished),
    ];
    for (phase, begun, settled, cancelled, advanced) in table {
        let cell = cell_in(phase);
        assert_eq!(cell.begin() == Begin::Message("message"), phase == Pending);
        assert_eq!(cell.phase(), begun);

        let cell = cell_in(phase);
        let too_late = cell.settle(1, Hold::Nothing) == Settle::TooLate(1);
        assert_eq!(too_late, phase.is_done());
        assert_eq!(cell.phase(), settled);

        let cell = cell_in(phase);
        let expected = match phase {
            Pending => Cancel::Cancelled {
                message: Some("message"),
                watch: None,
            },
            Cancelled | Notified => Cancel::Already,
            Running | Stopped | Finished => Cancel::TooLate,
        };
        assert_eq!(cell.cancel(Hold::Nothing), expected);
        assert_eq!(cell.phase(), cancelled);

        let cell = cell_in(phase);
        assert_eq!(cell.request(), phase == Running);
        assert_eq!(cell.was_asked(), phase == Running);
        assert_eq!(cell.phase(), phase);

        let cell = cell_in(phase);
        assert_eq!(cell.advance(), phase);
        assert_eq!(cell.phase(), advanced);
    }
}

#[test]
fn a_message_that_was_asked_ends_as_a_cancelled_one_or_not() {
    let cell = cell_in(Phase::Running);
    assert!(cell.request() && cell.request());
    assert_eq!(cell.settle(5, Hold::Nothing), Settle::Settled(None));
    assert_eq!(cell.phase(), Phase::Finished);
    assert!(!cell.request() && cell.was_asked());

    let cell = cell_in(Phase::Running);
    assert!(cell.request());
    assert_eq!(cell.settle(STOPPED, Hold::Nothing), Settle::Settled(None));
    assert_eq!(cell.phase(), Phase::Stopped);
    assert!(cell.phase().is_cancelled() && cell.done().is_set());
    assert_eq!(cell.outcome(|_| ()), None);
    // It had begun.
    assert_eq!(cell.cancel(Hold::Nothing), Cancel::TooLate);
    assert!(!cell.request());
}

#[test]
fn a_message_that_has_begun_elsewhere_is_asked_there() {
    let cell = cell_in(Phase::Pending);
    assert!(!cell.request());
    cell.exchange(|_| ("begun elsewhere", ()));
    assert!(cell.request() && cell.was_asked());
}

#[test]
fn the_latch_is_set_exactly_when_the_cell_is_done() {
    for phase in PHASES {
        assert_eq!(cell_in(phase).done().is_set(), phase.is_done());
        assert_eq!(cell_in(phase).served().is_set(), phase.is_done());
    }
}

#[test]
fn a_watched_cell_is_served_by_the_thread_that_ends_it() {
    for end in [
        |cell: &TestCell| assert!(matches!(cell.settle(1, Hold::Attached), Settle::Settled(_))),
        |cell: &TestCell| assert_ne!(cell.cancel(Hold::Attached), Cancel::Already),
    ] {
        let cell = cell_in(Phase::Pending);
        cell.watch(|_, watch| *watch = Some(Box::new("w")));
        end(&cell);
        assert!(cell.done().is_set() && !cell.served().is_set());

        let cell = cell_in(Phase::Pending);
        end(&cell);
        assert!(cell.done().is_set() && cell.served().is_set());
    }
}

#[test]
fn a_cell_whose_condition_is_exposed_ends_only_under_it() {
    let cell = cell_in(Phase::Pending);
    cell.expose_condition(|| (), |origin, _| assert_eq!(origin, Origin::Posted));
    assert_eq!(cell.cancel(Hold::Nothing), Cancel::NeedsCondition);
    assert_eq!(cell.settle(1, Hold::Nothing), Settle::NeedsCondition(1));
    assert_eq!(cell.begin(), Begin::Message("message"));
    assert_eq!(cell.settle(1, Hold::Condition), Settle::Settled(None));
    assert_eq!(cell.settle(2, Hold::Nothing), Settle::TooLate(2));
    assert_eq!(cell.outcome(|outcome| *outcome), Some(1));
}

#[test]
fn the_watch_goes_to_the_thread_that_ends_the_cell() {
    let cell = cell_in(Phase::Pending);
    assert_eq!(
        cell.watch(|_, watch| *watch = Some(Box::new("w"))),
        Some(())
    );
    assert_eq!(cell.settle(1, Hold::Nothing), Settle::NeedsAttached(1));
    assert_eq!(
        cell.settle(1, Hold::Attached),
        Settle::Settled(Some(Box::new("w")))
    );
    assert_eq!(cell.watch(|_, _| ()), None);
}

#[test]
fn a_message_in_flight_is_cancelled_only_if_it_can_be_withdrawn() {
    let cell = cell_in(Phase::Pending);
    assert_eq!(
        cell.exchange(|message| ("ticket", message)),
        Some("message")
    );
    assert_eq!(cell.phase(), Phase::Pending);
    assert!(matches!(
        cell.cancel(Hold::Nothing),
        Cancel::Cancelled { .. }
    ));

    let cell = cell_in(Phase::Pending);
    assert_eq!(
        cell.exchange(|message| ("begun elsewhere", message)),
        Some("message")
    );
    assert_eq!(cell.phase(), Phase::Running);
    assert_eq!(cell.cancel(Hold::Nothing), Cancel::TooLate);
    assert_eq!(cell.settle(1, Hold::Nothing), Settle::Settled(None));
    assert_eq!(cell.exchange(|message| ("ticket", message)), None);
}

#[test]
fn a_bare_cell_is_cancelled_in_two_steps() {
    let cell = TestCell::default();
    assert_eq!(cell.begin(), Begin::Gone);
    let cancelled = Cancel::Cancelled {
        message: None,
        watch: None,
    };
    assert_eq!(cell.cancel(Hold::Nothing), cancelled);
    assert_eq!(cell.phase(), Phase::Cancelled);
    assert_eq!(cell.advance(), Phase::Cancelled);
    assert_eq!(cell.phase(), Phase::Notified);
}

/// Has `told` count the calls of a watcher, which uses the cell: so it has no lock.
fn count_ends(cell: &TestCell, told: &Arc<AtomicUsize>) {
    let told = Arc::clone(told);
    cell.on_end(move |cell| {
        assert!(cell.phase().is_done());
        told.fetch_add(1, Ordering::SeqCst);
    });
}

#[test]
fn a_watcher_is_called_once_however_the_cell_ends_and_whenever_it_came() {
    type End = fn(&TestCell);
    let ends: [End; 5] = [
        |cell| assert_eq!(cell.settle(1, Hold::Nothing), Settle::Settled(None)),
        |cell| {
            assert!(matches!(
                cell.cancel(Hold::Nothing),
                Cancel::Cancelled { .. }
            ));
        },
        |cell| assert_eq!(cell.force(Phase::Finished, || 7), None),
        |cell| assert_eq!(cell.force(Phase::Cancelled, || 7), None),
        |cell| {
            assert_eq!(cell.begin(), Begin::Message("message"));
            assert_eq!(cell.force(Phase::Running, || 7), None);
            assert_eq!(cell.settle(1, Hold::Nothing), Settle::Settled(None));
        },
    ];
    for end in ends {
        let told = Arc::default();
        let cell = cell_in(Phase::Pending);
        count_ends(&cell, &told);
        count_ends(&cell, &told);
        assert_eq!(told.load(Ordering::SeqCst), 0);
        end(&cell);
        assert_eq!(told.load(Ordering::SeqCst), 2);
        assert!(cell.served().is_set());
        count_ends(&cell, &told);
        assert_eq!(cell.settle(2, Hold::Nothing), Settle::TooLate(2));
        assert!(!matches!(
            cell.cancel(Hold::Nothing),
            Cancel::Cancelled { .. }
        ));
        cell.advance();
        cell.force(Phase::Finished, || 8);
        assert_eq!(told.load(Ordering::SeqCst), 3);
    }
}

#[test]
fn a_watch_needs_python_and_a_watcher_does_not() {
    let told = Arc::default();
    let cell = cell_in(Phase::Pending);
    count_ends(&cell, &told);
    assert!(!cell.needs_python());
    cell.watch(|_, watch| *watch = Some(Box::new("w")));
    assert!(cell.needs_python());
    assert_eq!(cell.settle(1, Hold::Nothing), Settle::NeedsAttached(1));
    cell.expose_condition(|| (), |_, _| ());
    assert_eq!(cell.settle(1, Hold::Attached), Settle::NeedsCondition(1));
    assert_eq!(cell.cancel(Hold::Attached), Cancel::NeedsCondition);
    assert_eq!(told.load(Ordering::SeqCst), 0);
    let watch = Some(Box::new("w"));
    assert_eq!(cell.settle(1, Hold::Condition), Settle::Settled(watch));
    assert_eq!(told.load(Ordering::SeqCst), 1);
}

#[test]
fn a_future_that_is_no_more_leaves_the_watchers() {
    let told = Arc::default();
    let cell = cell_in(Phase::Pending);
    count_ends(&cell, &told);
    assert_eq!(cell.clear(0), (None, None));
    assert_eq!(cell.settle(1, Hold::Nothing), Settle::Settled(None));
    assert_eq!(told.load(Ordering::SeqCst), 1);
}

#[test]
fn a_watcher_may_watch_again_and_read_the_outcome() {
    let seen = Arc::new(AtomicUsize::new(0));
    let cell = cell_in(Phase::Pending);
    let inner = Arc::clone(&seen);
    cell.on_end(|cell| {
        cell.on_end(move |cell| {
            let outcome = cell.outcome(|outcome| *outcome as usize);
            inner.store(outcome.unwrap_or_default(), Ordering::SeqCst);
        });
    });
    assert_eq!(cell.settle(5, Hold::Nothing), Settle::Settled(None));
    assert_eq!(seen.load(Ordering::SeqCst), 5);
}

#[test]
fn either_begin_or_cancel_wins() {
    let begun = AtomicUsize::new(0);
    for _ in 0..2_000 {
        let cell = Arc::new(cell_in(Phase::Pending));
        std::thread::scope(|scope| {
            scope.spawn(|| {
                if cell.begin() != Begin::Gone {
                    begun.fetch_add(1, Ordering::Relaxed);
                }
            });
            let cancelled = cell.cancel(Hold::Nothing) != Cancel::TooLate;
            begun.fetch_add(usize::from(cancelled), Ordering::Relaxed);
        });
    }
    assert_eq!(begun.into_inner(), 2_000);
}
