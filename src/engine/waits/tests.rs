//! The graph against a naive search, and the order and lifetime of its waits.

use super::*;
use proptest::prelude::*;

fn nodes<const N: usize>(names: [&str; N]) -> [Arc<Node>; N] {
    names.map(|name| Arc::new(Node::new(name.to_owned())))
}

fn never() -> Arc<Latch> {
    Arc::new(Latch::default())
}

fn block<'a>(
    waits: &'a Waits,
    waiter: &Arc<Node>,
    target: &Arc<Node>,
) -> Result<Waiting<'a>, Circle> {
    waits.begin(waiter, How::Blocked, target, never())
}

fn circle<T>(begun: Result<T, Circle>) -> Vec<String> {
    begun.err().map_or_else(Vec::new, |Circle(names)| names)
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
    let _over = waits.begin(a, How::Blocked, b, Arc::clone(&done) as _);
    done.set();
    assert!(block(&waits, b, a).is_ok());
}

#[test]
fn an_actor_with_a_free_place_goes_on() {
    let waits = Waits::default();
    let [a, b] = &nodes(["a", "b"]);
    a.set_places(2);
    let _one = waits.begin(a, How::Awaits, b, never());
    let back = block(&waits, b, a);
    assert!(back.is_ok());
    // The second await takes the last place, and `b` waits for that.
    assert_eq!(circle(waits.begin(a, How::Awaits, b, never())), ["a", "b"]);
    drop(back);
    let _two = waits.begin(a, How::Awaits, b, never());
    assert_eq!(circle(block(&waits, b, a)), ["b", "a"]);
}

#[test]
fn the_waits_of_an_actor_are_counted_until_they_are_over() {
    let waits = Waits::default();
    let [a, b] = &nodes(["a", "b"]);
    a.set_places(3);
    let done = never();
    let one = waits.begin(a, How::Awaits, b, never());
    let _two = waits.begin(a, How::Awaits, b, Arc::clone(&done) as _);
    assert_eq!((waits.count(a), waits.count(b)), (2, 0));
    done.set();
    assert_eq!(waits.count(a), 1);
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

/// A wait of the model: who, how, for which.
type Model = Vec<(usize, How, usize)>;

/// Whether the actor goes on some time, by a search of all ways that it might.
fn goes_on(
    nodes: &[Arc<Node>],
    pool: &[usize],
    waits: &Model,
    node: usize,
    path: &[usize],
) -> bool {
    if path.contains(&node) {
        return false;
    }
    let path = [path, &[node]].concat();
    let ends = |target: usize| goes_on(nodes, pool, waits, target, &path);
    if node == POOL {
        let ended = |member: usize| nodes[member].has_ended.load(Ordering::Relaxed);
        let mut rest = pool.iter().filter(|&&member| !ended(member)).peekable();
        return rest.peek().is_none() || rest.any(|&member| ends(member));
    }
    let of = |how: How| {
        let mine = waits
            .iter()
            .filter(move |(who, by, _)| *who == node && *by == how);
        mine.map(|(_, _, target)| *target).collect::<Vec<_>>()
    };
    let (blocked, awaits) = (of(How::Blocked), of(How::Awaits));
    let places = nodes[node].places.load(Ordering::Relaxed);
    blocked.into_iter().all(ends) && (awaits.len() < places || awaits.into_iter().any(ends))
}

const ACTORS: usize = 6;
/// The number of the node that is a pool.
const POOL: usize = ACTORS;

proptest! {
    #[test]
    fn exactly_the_waits_that_a_naive_search_finds_are_refused(
        places in proptest::collection::vec(1..3_usize, ACTORS),
        pool in proptest::sample::subsequence((0..ACTORS).collect::<Vec<_>>(), 0..=3),
        ended in proptest::option::of(0..ACTORS),
        steps in proptest::collection::vec(
            (0..ACTORS, proptest::bool::ANY, 0..=ACTORS, proptest::option::weighted(0.3, 0..20_usize)),
            1..40,
        ),
    ) {
        let waits = Waits::default();
        let nodes: Vec<_> = (0..=ACTORS).map(|n| Arc::new(Node::new(n.to_string()))).collect();
        for (node, places) in nodes.iter().zip(&places) {
            node.set_places(*places);
        }
        nodes[POOL].set_members(pool.iter().map(|&one| Arc::clone(&nodes[one])).collect());
        if let Some(ended) = ended {
            nodes[ended].end();
        }
        let mut model = Model::new();
        let mut guards = Vec::new();
        for (who, is_blocked, target, ended) in steps {
            if let Some(at) = ended && at < guards.len() {
                drop(guards.remove(at));
                model.remove(at);
                continue;
            }
            let how = if is_blocked { How::Blocked } else { How::Awaits };
            model.push((who, how, target));
            let fine = goes_on(&nodes, &pool, &model, who, &[]);
            match waits.begin(&nodes[who], how, &nodes[target], never()) {
                Ok(guard) => {
                    prop_assert!(fine, "{model:?}");
                    guards.push(guard);
                }
                Err(Circle(names)) => {
                    prop_assert!(!fine, "{model:?}");
                    model.pop();
                    prop_assert_eq!(&names[0], &nodes[who].name);
                    let different: HashSet<_> = names.iter().collect();
                    prop_assert_eq!(different.len(), names.len());
                }
            }
        }
        drop(guards);
        prop_assert!(waits.0.lock().waits.is_empty());
    }
}
