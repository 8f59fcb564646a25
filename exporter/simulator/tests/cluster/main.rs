//! The simulated cluster as its clients see it.

#[cfg(test)]
mod client;
#[cfg(test)]
mod faults;
#[cfg(test)]
mod recorded;
#[cfg(test)]
mod shape;
#[cfg(test)]
mod transport;
#[cfg(test)]
mod values;
