use super::*;
use crate::engine::mailbox::Mailbox;
use std::cell::Cell;
use std::sync::Arc;

/// Runs a wait whose partner was last seen on CPU `there`, and whose poll finds something at look
/// number `at`. Returns whether it polled, and whether it slept.
fn wait(patience: &Patience, there: u64, at: u32) -> (bool, bool) {
    let (mine, theirs) = (AtomicU64::new(0), AtomicU64::new(there));
    let (polled, slept, looks) = (Cell::new(false), Cell::new(false), Cell::new(0));
    patience.wait(
        [LastCpu(&mine), LastCpu(&theirs)],
        || polled.set(true),
        || {
            looks.set(looks.get() + 1);
            (looks.get() >= at).then_some(())
        },
        || slept.set(true),
    );
    (polled.get(), slept.get())
}

/// No CPU has this number.
const ELSEWHERE: u64 = u64::MAX;
const NEVER: u32 = u32::MAX;

/// As after waits that ended soon after each other.
fn brisk() -> Patience {
    let patience = Patience::default();
    patience.ended.store(sys::now_nanos(), Ordering::Relaxed);
    patience
}

#[test]
fn a_side_polls_only_where_the_other_is_on_another_cpu() {
    if sys::current_cpu().is_none() {
        return;
    }
    assert_eq!(wait(&brisk(), ELSEWHERE, 1), (true, false));
    assert_eq!(wait(&brisk(), 0, 1), (false, true), "nobody was seen");
    let here = AtomicU64::new(0);
    // The test's thread may be moved, which is rare.
    let alone = (0..100).any(|_| {
        LastCpu(&here).publish();
        wait(&brisk(), here.load(Ordering::Relaxed), 1) == (false, true)
    });
    assert!(alone);
}

#[test]
fn after_polls_in_vain_more_and_more_waits_pass_without_one() {
    if sys::current_cpu().is_none() {
        return;
    }
    let patience = brisk();
    let mut between = Vec::new();
    let mut passed = 0;
    for _ in 0..2_000 {
        // This test is not about the interval, which depends on the machine.
        patience.interval.store(0, Ordering::Relaxed);
        let (polled, slept) = wait(&patience, ELSEWHERE, NEVER);
        assert!(slept);
        if polled {
            between.push(std::mem::take(&mut passed));
        } else {
            passed += 1;
        }
    }
    assert_eq!(between[..9], [0, 1, 2, 4, 8, 16, 32, 64, 128]);
    assert!(between[9..].iter().all(|passed| *passed == MOST_SKIPPED));
}

#[test]
fn polls_that_paid_make_good_for_polls_in_vain() {
    let patience = Patience::default();
    (0..10).for_each(|_| patience.was_in_vain());
    assert_eq!(patience.penalty.load(Ordering::Relaxed), MOST_SKIPPED - 1);
    (0..8).for_each(|_| patience.paid());
    assert_eq!(patience.penalty.load(Ordering::Relaxed), 0);
}

#[test]
fn answers_far_apart_are_not_polled_for() {
    let patience = Patience::default();
    patience.end(5_000_000);
    assert!(!patience.is_worth_polling(), "there was none before");
    patience.end(5_000_000 + BRISK_NANOS - 1);
    assert!(patience.is_worth_polling());
    patience.end(5_000_000 + 2 * BRISK_NANOS - 1);
    assert!(!patience.is_worth_polling());
}

/// Whose callers poll, and whose actor was seen on another CPU.
fn brisk_callers() -> Handoff {
    let there = Handoff::default();
    there.seen.0.actors_cpu.store(ELSEWHERE, Ordering::Relaxed);
    there.seen.0.callers_cpu.store(ELSEWHERE, Ordering::Relaxed);
    let now = sys::now_nanos();
    there.callers.0.answers.ended.store(now, Ordering::Relaxed);
    there
}

#[test]
fn a_caller_polls_on_while_the_actor_keeps_the_gil() {
    if sys::current_cpu().is_none() {
        return;
    }
    let done = Latch::default();
    done.set();
    let in_vain = |there: &Handoff| there.callers.0.answers.skipped.load(Ordering::Relaxed);
    let there = brisk_callers();
    there.set_busy(false);
    assert_eq!(there.wait_for_answer(&done, None), Wait::Set);
    assert_eq!(in_vain(&there), 0);
    let there = brisk_callers();
    there.set_busy(true);
    assert_eq!(there.wait_for_answer(&done, None), Wait::Set, "in the end");
    assert_eq!(in_vain(&there), 1);
}

#[test]
fn an_actor_waits_less_long_for_a_sender_after_it_did_so_in_vain() {
    if sys::current_cpu().is_none() {
        return;
    }
    let senders = |there: &Handoff| there.actor.0.senders.skipped.load(Ordering::Relaxed);
    let there = brisk_callers();
    let done = Latch::default();
    done.poll();
    there.let_sender_wait(&done);
    assert_eq!(senders(&there), 0, "it waits");
    let done = Latch::default();
    there.let_sender_wait(&done);
    assert_eq!(senders(&there), 1, "it did not come");
    there.let_sender_wait(&done);
    assert_eq!(senders(&there), 0, "a short wait is not counted");
}

#[test]
fn two_threads_that_answer_each_other_never_miss_a_message() {
    fn done(latch: &Arc<Latch>) -> &Latch {
        latch
    }
    let there = Handoff::default();
    let mailbox = Mailbox::<Arc<Latch>>::default();
    std::thread::scope(|scope| {
        scope.spawn(|| {
            let mut awaited = Awaited::No;
            while let Some(latch) =
                there.wait_for_message(awaited, Some(done), || mailbox.poll(), || mailbox.take())
            {
                awaited = Awaited::by(&latch);
                latch.set();
            }
        });
        for _ in 0..20_000 {
            let latch = Arc::new(Latch::default());
            assert!(mailbox.put(Arc::clone(&latch)).is_ok());
            while there.wait_for_answer(&latch, None) != Wait::Set {}
        }
        mailbox.close();
    });
}
