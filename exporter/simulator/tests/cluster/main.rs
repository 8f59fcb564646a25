//! The simulated cluster as its clients see it.

#[cfg(test)]
mod client;
#[cfg(test)]
mod configurations;
#[cfg(test)]
mod faults;
#[cfg(test)]
mod guests;
#[cfg(test)]
mod ha;
#[cfg(test)]
mod recorded;
#[cfg(test)]
mod replication;
#[cfg(test)]
mod shape;
#[cfg(test)]
mod transport;
#[cfg(test)]
mod values;
