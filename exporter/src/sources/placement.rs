//! Whether the guests of a node find a place on others: first fit, by memory, and apart from those they must not meet.

use std::cmp::Reverse;
use std::collections::HashSet;
use std::rc::Rc;

/// A guest that needs a place, or several that have to be on one node.
#[derive(Clone, Debug)]
pub struct Homeless {
    /// How many.
    pub guests: u64,
    /// Bytes of memory that they need.
    pub memory: u64,
    /// The nodes on which they could run, by index; every node if there is no list.
    pub places: Option<Rc<[usize]>>,
    /// The sets that they are in, by number, no two of which may be on one node.
    pub apart: Vec<usize>,
}

/// Where guests of sets are that have to be apart: the number of the set, and the node.
pub type Taken = HashSet<(usize, usize)>;

/// What has found no place.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Unplaced {
    /// How many guests.
    pub guests: u64,
    /// Bytes of memory that they need in all.
    pub memory: u64,
}

/// Places `homeless` guests on nodes that each have so many bytes `free`; `None` is a node that takes nobody. `taken` tells
/// which sets have a guest there already.
///
/// Those that the fewest nodes could take come first, of these the largest, and each goes to the first node that can take it. If
/// nothing is left over, all of them fit; what is left over might still fit in a cleverer order. Guests that are alike in both
/// are placed in the order in which they come, so that equal input gives equal output.
#[must_use]
pub fn unplaced(free: &[Option<u64>], taken: Taken, homeless: &[Homeless]) -> Unplaced {
    let (mut free, mut taken) = (free.to_vec(), taken);
    let mut order: Vec<&Homeless> = homeless.iter().collect();
    order.sort_by_key(|guest| {
        let choices = guest.places.as_ref().map_or(usize::MAX, |places| places.len());
        (choices, Reverse(guest.memory))
    });
    let mut unplaced = Unplaced::default();
    for guest in order {
        if !place(&mut free, &mut taken, guest) {
            unplaced.guests += guest.guests;
            unplaced.memory = unplaced.memory.saturating_add(guest.memory);
        }
    }
    unplaced
}

fn place(free: &mut [Option<u64>], taken: &mut Taken, guest: &Homeless) -> bool {
    let nodes = free.len();
    let take = |node: usize| {
        let Some(free) = free.get_mut(node) else { return false };
        let left = free.and_then(|bytes| bytes.checked_sub(guest.memory));
        let fits = left.is_some() && !guest.apart.iter().any(|set| taken.contains(&(*set, node)));
        if fits {
            *free = left;
            taken.extend(guest.apart.iter().map(|set| (*set, node)));
        }
        fits
    };
    match &guest.places {
        None => (0..nodes).any(take),
        Some(places) => places.iter().copied().any(take),
    }
}

#[cfg(test)]
mod tests {
    use proptest::collection::vec;
    use proptest::prelude::*;

    use super::*;

    fn guest(memory: u64, places: Option<Rc<[usize]>>) -> Homeless {
        Homeless {
            guests: 1,
            memory,
            places,
            apart: Vec::new(),
        }
    }

    fn anywhere(memory: u64) -> Homeless {
        guest(memory, None)
    }

    fn only(memory: u64, places: &[usize]) -> Homeless {
        guest(memory, Some(places.into()))
    }

    fn unplaced(free: &[Option<u64>], homeless: &[Homeless]) -> Unplaced {
        super::unplaced(free, Taken::new(), homeless)
    }

    fn left(guests: u64, memory: u64) -> Unplaced {
        Unplaced { guests, memory }
    }

    #[test]
    fn the_largest_goes_first_and_the_rest_fills_up() {
        let guests = [anywhere(3), anywhere(6), anywhere(2), anywhere(5)];
        assert_eq!(unplaced(&[Some(8), Some(8)], &guests), left(0, 0));
        assert_eq!(unplaced(&[Some(8), None, Some(7)], &guests), left(1, 3));
        assert_eq!(unplaced(&[None, None], &guests), left(4, 16));
        assert_eq!(unplaced(&[], &[anywhere(0)]), left(1, 0), "nobody runs nowhere");
        assert_eq!(unplaced(&[Some(1)], &[]), left(0, 0));
    }

    #[test]
    fn who_has_little_choice_chooses_first() {
        let guests = [anywhere(4), only(2, &[0])];
        assert_eq!(unplaced(&[Some(4), Some(4)], &guests), left(0, 0));
        let guests = [only(1, &[]), only(1, &[7]), only(1, &[1])];
        assert_eq!(unplaced(&[Some(9), None], &guests), left(3, 3));
    }

    #[test]
    fn who_must_be_apart_is_not_put_together() {
        let apart = |memory, apart: &[usize]| Homeless {
            apart: apart.into(),
            ..anywhere(memory)
        };
        let three = [apart(3, &[1]), apart(2, &[1]), apart(1, &[2])];
        assert_eq!(unplaced(&[Some(9)], &three), left(1, 2));
        assert_eq!(unplaced(&[Some(9), Some(9)], &three), left(0, 0));
        let taken: Taken = [(1, 1)].into();
        assert_eq!(super::unplaced(&[Some(9), Some(9)], taken.clone(), &three), left(1, 2));
        let both = [apart(1, &[2, 1])];
        assert_eq!(super::unplaced(&[None, Some(9)], taken, &both), left(1, 1));
    }

    #[test]
    fn those_who_stay_together_need_room_for_all() {
        let pair = Homeless {
            guests: 2,
            ..anywhere(6)
        };
        assert_eq!(unplaced(&[Some(5), Some(5)], std::slice::from_ref(&pair)), left(2, 6));
        assert_eq!(unplaced(&[Some(5), Some(6)], &[pair]), left(0, 0));
    }

    fn guests() -> impl Strategy<Value = Homeless> {
        (
            1..20_u64,
            prop::option::of(vec(0..6_usize, 0..4)),
            vec(0..3_usize, 0..2),
        )
            .prop_map(|(memory, places, apart)| Homeless {
                apart,
                ..guest(memory, places.map(Into::into))
            })
    }

    fn nodes() -> impl Strategy<Value = Vec<Option<u64>>> {
        vec(prop::option::weighted(0.8, 0..60_u64), 0..6)
    }

    proptest! {
        #[test]
        fn everything_fits_where_one_node_could_take_it_all(guests in vec((1..20_u64).prop_map(anywhere), 0..12), mut free in nodes()) {
            free.push(Some(guests.iter().map(|guest| guest.memory).sum()));
            prop_assert_eq!(unplaced(&free, &guests), Unplaced::default());
        }

        #[test]
        fn nobody_gets_memory_that_is_not_there(guests in vec(guests(), 0..12), free in nodes()) {
            let result = unplaced(&free, &guests);
            let wanted: u64 = guests.iter().map(|guest| guest.memory).sum();
            prop_assert!(wanted - result.memory <= free.iter().flatten().sum());
            prop_assert!(result.guests <= guests.len() as u64);
            let homeless = guests.iter().filter(|guest| {
                let reachable = |place: usize| free.get(place).copied().flatten() >= Some(guest.memory);
                !guest.places.as_ref().map_or_else(|| (0..free.len()).any(reachable), |places| places.iter().any(|place| reachable(*place)))
            });
            prop_assert!(result.guests >= homeless.count() as u64, "who fits nowhere is never placed");
        }

        /// In general no first fit is monotonic; among guests that are alike it is.
        #[test]
        fn more_memory_never_leaves_more_guests_that_are_alike(number in 0..20_usize, memory in 1..20_u64, free in nodes(), more in vec(0..30_u64, 6)) {
            let guests = vec![anywhere(memory); number];
            let larger: Vec<_> = free.iter().zip(&more).map(|(free, more)| free.map(|free| free + more)).collect();
            prop_assert!(unplaced(&larger, &guests).guests <= unplaced(&free, &guests).guests);
        }

        #[test]
        fn a_larger_node_never_places_less(memories in vec(1..20_u64, 0..20), free in 0..200_u64, more in 0..50_u64) {
            let guests: Vec<_> = memories.into_iter().map(anywhere).collect();
            prop_assert!(unplaced(&[Some(free + more)], &guests).memory <= unplaced(&[Some(free)], &guests).memory);
        }
    }
}
