use super::fake::{MOST, Pool, Sent};
use super::*;
use proptest::prelude::*;

fn loads(places: usize, of: &[usize]) -> Loads {
    let loads = Loads::new(of.len(), places);
    for (member, load) in of.iter().enumerate() {
        loads.publish(member, *load);
        loads.set_ahead(member, 3);
    }
    loads
}

#[test]
fn an_idle_member_is_chosen_and_else_the_one_with_the_least_to_do() {
    assert_eq!(loads(1, &[3, 0, 1]).choose(16, &[]), Some((1, 0)));
    assert_eq!(loads(1, &[3, 2, 3]).choose(16, &[]), Some((1, 2)));
    assert_eq!(loads(1, &[3, 2, 3]).choose(16, &[1]), Some((0, 3)));
    assert_eq!(loads(1, &[3, 2, 3]).choose(2, &[]), None);
    assert_eq!(loads(1, &[4, AWAY, 7]).choose(16, &[]), None);
    assert_eq!(loads(1, &[4, 0]).choose(16, &[1]), None);
    assert_eq!(loads(5, &[6, 4, 7]).choose(16, &[]), Some((1, 4)));
    assert_eq!(loads(5, &[7, 8, 9]).choose(16, &[]), Some((0, 7)));
    assert_eq!(loads(5, &[8, 8, 9]).choose(16, &[]), None);
}

#[test]
fn those_that_are_away_have_no_free_place_and_are_not_behind() {
    let loads = loads(1, &[0, AWAY, 1, 9, 2]);
    assert!(!loads.has_other_free(0) && loads.has_other_free(2));
    assert_eq!(loads.others_behind(3, 0), [4]);
    assert_eq!(loads.others_behind(2, 0), [3, 4]);
    assert!(loads.others_behind(2, 1).is_empty());
    assert!(loads.others_behind(2, AWAY).is_empty());
}

#[test]
fn a_member_with_a_free_place_takes_from_those_that_have_none() {
    let loads = loads(3, &[2, 3, 4, 5]);
    assert_eq!(loads.others_behind(0, 2), [3, 2]);
    assert!(loads.others_behind(0, 3).is_empty());
    assert_eq!(loads.others_behind(0, 0), [3, 2, 1], "one may stand still");
    assert!(loads.may_take(0, 2) && !loads.may_take(1, 3));
}

/// How many places each has, and of each member how many messages it has and has begun. All have more
/// than places, but for the first, which has just ended some.
fn pools() -> impl Strategy<Value = (usize, Vec<(usize, usize)>)> {
    (1..5_usize).prop_flat_map(|places| {
        let other = (places..places + 8, 0..=places);
        let others = proptest::collection::vec(other, 1..4);
        (0..places, others).prop_map(move |(load, mut members)| {
            members.insert(0, (load, load));
            (places, members)
        })
    })
}

proptest! {
    /// Those that it takes back may run for ever: it gets no other occasion.
    #[test]
    fn a_member_takes_back_until_no_message_is_kept_from_a_free_place((places, members) in pools()) {
        let sent = members.iter().map(|(load, begun)| Sent {
            messages: (0..).take(*load).collect(),
            begun: *begun,
        });
        let pool = Pool::new(places, sent.collect());
        pool.loads.take_back_for(0, &pool, MOST);
        let loads: Vec<usize> = (0..members.len()).map(|member| pool.load(member)).collect();
        let is_free = loads.iter().any(|load| *load < places);
        let is_behind = loads.iter().any(|load| *load > places) || !pool.mailbox.is_empty();
        prop_assert!(!(is_free && is_behind), "{loads:?}");
    }
}
