//! The graph against a naive search, and the order and lifetime of its waits.

use super::*;
use crate::engine::latch::Latch;
use proptest::prelude::*;
use std::collections::HashSet;

fn nodes<const N: usize>(names: [&str; N]) -> [Arc<Node>; N] {
    names.map(|name| Arc::new(Node::new(name.to_owned())))
}

fn never() -> Arc<Latch> {
    Arc::new(Latch::default())
}

/// What a wait for one thing or the other of these actors may end by.
fn targets<'a>(nodes: impl IntoIterator<Item = &'a Arc<Node>>) -> Vec<Target> {
    let never_by = |node: &Arc<Node>| Target {
        node: Arc::clone(node),
        pending: never(),
    };
    nodes.into_iter().map(never_by).collect()
}

/// How a thread waits.
const BLOCKED: How = How::Blocked(1);

/// Keeps why it is refused.
#[derive(Default)]
struct Refusal(Mutex<Option<Refused>>);

impl Refuse for Refusal {
    fn refuse(&self, refused: Refused) {
        *self.0.lock() = Some(refused);
    }
}

fn block<'a>(
    waits: &'a Waits,
    waiter: &Arc<Node>,
    target: &Arc<Node>,
) -> Result<Waiting<'a>, Refused> {
    waits.begin(
        waiter,
        BLOCKED,
        targets([target]),
        Arc::<Refusal>::default(),
    )
}

fn circle<T>(begun: Result<T, Refused>) -> Vec<String> {
    begun
        .err()
        .map_or_else(Vec::new, |refused| refused.circle.0)
}

#[test]
fn the_wait_that_closes_a_circle_is_refused_with_the_names() {
    let waits = Waits::default();
    let [a, b, c] = &nodes(["a", "b", "c"]);
    let _one = block(&waits, a, b);
    let _two = block(&waits, b, c);
    assert_eq!(circle(block(&waits, c, a)), ["c", "a", "b"]);
    assert_eq!(circle(block(&waits, a, a)), ["a"]);
    // A refused wait has left nothing.
    let other = Arc::new(Node::new("d".to_owned()));
    assert!(block(&waits, c, &other).is_ok());
}

#[test]
fn a_wait_that_has_ended_closes_no_circle() {
    let waits = Waits::default();
    let [a, b] = &nodes(["a", "b"]);
    drop(block(&waits, a, b));
    let done = never();
    let target = Target {
        node: Arc::clone(b),
        pending: Arc::clone(&done) as _,
    };
    let _over = waits.begin(a, BLOCKED, vec![target], Arc::<Refusal>::default());
    done.set();
    assert!(block(&waits, b, a).is_ok());
}

#[test]
fn a_wait_for_several_goes_on_while_one_of_them_does() {
    let waits = Waits::default();
    let [a, b, c] = &nodes(["a", "b", "c"]);
    let _either = waits.begin(a, BLOCKED, targets([b, c]), Arc::<Refusal>::default());
    let back = block(&waits, b, a);
    assert!(back.is_ok());
    assert_eq!(circle(block(&waits, c, a)), ["c", "a"]);
    drop(back);
    // Without it, `b` goes on.
    let _third = block(&waits, c, a);
    let refused = waits.begin(b, BLOCKED, targets([c, a]), Arc::<Refusal>::default());
    assert_eq!(refused.err().map(|refused| refused.target), Some(1));
}

#[test]
fn the_end_of_the_last_member_that_could_go_on_refuses_one_wait() {
    let waits = Waits::default();
    let [pool, one, two, three, caller] =
        &nodes(["pool", "pool[0]", "pool[1]", "pool[2]", "caller"]);
    pool.set_members([one, two, three].map(Arc::clone).to_vec());
    let refusals: [Arc<Refusal>; 3] = Default::default();
    let _waits: Vec<_> = [one, two, caller]
        .into_iter()
        .zip(&refusals)
        .map(|(waiter, refusal)| {
            waits.begin(waiter, BLOCKED, targets([pool]), Arc::clone(refusal) as _)
        })
        .collect();
    for refuse in waits.end(three) {
        refuse();
    }
    let refused = refusals.map(|refusal| refusal.0.lock().take());
    // The caller is in no circle.
    assert_eq!(refused[2], None);
    let names = refused
        .into_iter()
        .flatten()
        .map(|refused| refused.circle.0);
    let names: Vec<_> = names.collect();
    assert!(
        names == [["pool[0]"]] || names == [["pool[1]"]],
        "{names:?}"
    );
}

#[test]
fn an_actor_that_waits_beside_other_messages_goes_on() {
    let waits = Waits::default();
    let [a, b] = &nodes(["a", "b"]);
    let beside = |count| {
        waits.begin(
            a,
            How::Beside(count),
            targets([b]),
            Arc::<Refusal>::default(),
        )
    };
    let _one = beside(1);
    let back = block(&waits, b, a);
    assert!(back.is_ok() && beside(2).is_ok());
    assert_eq!(circle(block(&waits, a, b)), ["a", "b"]);
}

#[test]
fn the_messages_are_counted_with_which_an_actor_waits() {
    let waits = Waits::default();
    let [a, b] = &nodes(["a", "b"]);
    let done = never();
    let target = Target {
        node: Arc::clone(b),
        pending: Arc::clone(&done) as _,
    };
    let one = waits.begin(a, How::Beside(3), targets([b]), Arc::<Refusal>::default());
    let _two = waits.begin(a, How::Blocked(1), vec![target], Arc::<Refusal>::default());
    assert_eq!((waits.count(a), waits.count(b)), (4, 0));
    done.set();
    assert_eq!(waits.count(a), 3);
    drop(one);
    assert_eq!(waits.count(a), 0);
}

#[test]
fn a_pool_goes_on_while_a_member_does() {
    let waits = Waits::default();
    let [pool, one, two, caller] = &nodes(["pool", "pool[0]", "pool[1]", "caller"]);
    pool.set_members(vec![Arc::clone(one), Arc::clone(two)]);
    let _first = block(&waits, one, pool);
    let _waits = block(&waits, caller, pool);
    assert_eq!(circle(block(&waits, two, pool)), ["pool[1]"]);
    assert_eq!(circle(block(&waits, two, caller)), ["pool[1]", "caller"]);
}

#[test]
fn a_thread_says_which_actor_waits_with_it() {
    let [a, b] = &nodes(["a", "b"]);
    assert!(served_here().is_none());
    serve(a);
    assert!(is_served_here(a) && !is_served_here(b));
    std::thread::scope(|scope| {
        let elsewhere = scope.spawn(|| is_served_here(a));
        assert!(!elsewhere.join().expect("no panic"));
    });
}

/// A wait of the model: its number, the actor that waits, and the actors that it waits for.
type Model = Vec<(usize, usize, Vec<usize>)>;

/// Whether the actor goes on some time, by a search of all ways that it might.
fn goes_on(ended: &[bool], pool: &[usize], waits: &Model, node: usize, path: &[usize]) -> bool {
    if path.contains(&node) {
        return false;
    }
    let path = [path, &[node]].concat();
    let ends = |target: usize| goes_on(ended, pool, waits, target, &path);
    if node == POOL {
        let mut rest = pool.iter().filter(|&&member| !ended[member]).peekable();
        return rest.peek().is_none() || rest.any(|&member| ends(member));
    }
    let mut mine = waits.iter().filter(|(_, who, _)| *who == node);
    mine.all(|(_, _, targets)| targets.iter().any(|&target| ends(target)))
}

const ACTORS: usize = 6;
/// The number of the node that is a pool.
const POOL: usize = ACTORS;

#[derive(Clone, Debug)]
enum Step {
    Begin(usize, Vec<usize>),
    /// The end of a wait.
    Drop(usize),
    /// The end of a member of the pool.
    End(usize),
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let begin = (0..ACTORS, proptest::collection::vec(0..=ACTORS, 1..4));
    let step = prop_oneof![
        12 => begin.prop_map(|(who, targets)| Step::Begin(who, targets)),
        4 => (0..20_usize).prop_map(Step::Drop),
        1 => (0..ACTORS).prop_map(Step::End),
    ];
    proptest::collection::vec(step, 1..40)
}

proptest! {
    #[test]
    fn exactly_the_waits_that_a_naive_search_finds_are_refused(
        pool in proptest::sample::subsequence((0..ACTORS).collect::<Vec<_>>(), 0..=3),
        steps in steps(),
    ) {
        let waits = Waits::default();
        let nodes: Vec<_> = (0..=ACTORS).map(|n| Arc::new(Node::new(n.to_string()))).collect();
        nodes[POOL].set_members(pool.iter().map(|&one| Arc::clone(&nodes[one])).collect());
        let mut ended = [false; ACTORS];
        let mut model = Model::new();
        let mut guards = Vec::new();
        for (number, step) in steps.into_iter().enumerate() {
            match step {
                Step::Drop(at) if at < guards.len() => {
                    let (number, _, guard): (usize, Arc<Refusal>, Waiting<'_>) = guards.remove(at);
                    model.retain(|(one, ..)| *one != number);
                    drop(guard);
                }
                Step::Drop(_) => {}
                // One that is in no pool is not waited for any more.
                Step::End(who) if !pool.contains(&who) => {}
                Step::End(who) => {
                    ended[who] = true;
                    for refuse in waits.end(&nodes[who]) {
                        refuse();
                        let refused = |guard: &&(_, Arc<Refusal>, _)| guard.1.0.lock().take().is_some();
                        let (number, ..) = guards.iter().find(refused).expect("one was refused");
                        let wait = model.iter().find(|(one, ..)| one == number).expect("entered");
                        let (_, who, targets) = wait;
                        prop_assert!(targets.contains(&POOL));
                        prop_assert!(!goes_on(&ended, &pool, &model, *who, &[]), "{model:?}");
                        model.retain(|(one, ..)| one != number);
                    }
                }
                Step::Begin(who, on) => {
                    model.push((number, who, on.clone()));
                    let fine = goes_on(&ended, &pool, &model, who, &[]);
                    let refusal = Arc::<Refusal>::default();
                    let targets = targets(on.iter().map(|&one| &nodes[one]));
                    match waits.begin(&nodes[who], BLOCKED, targets, Arc::clone(&refusal) as _) {
                        Ok(guard) => {
                            prop_assert!(fine, "{model:?}");
                            guards.push((number, refusal, guard));
                        }
                        Err(Refused { target, circle: Circle(names) }) => {
                            prop_assert!(!fine, "{model:?}");
                            model.pop();
                            prop_assert!(target < on.len());
                            prop_assert_eq!(&names[0], &nodes[who].name);
                            let different: HashSet<_> = names.iter().collect();
                            prop_assert_eq!(different.len(), names.len());
                        }
                    }
                }
            }
            // Nobody is stuck after a step.
            for node in 0..=ACTORS {
                prop_assert!(goes_on(&ended, &pool, &model, node, &[]), "{node} in {model:?}");
            }
        }
        drop(guards);
        prop_assert!(waits.0.lock().waiters.is_empty());
    }
}
