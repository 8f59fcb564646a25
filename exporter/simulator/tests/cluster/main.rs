//! The simulated cluster as its clients see it.

#[cfg(test)]
mod agents;
#[cfg(test)]
mod backups;
#[cfg(test)]
mod client;
#[cfg(test)]
mod configurations;
#[cfg(test)]
mod disks;
#[cfg(test)]
mod faults;
#[cfg(test)]
mod guests;
#[cfg(test)]
mod ha;
#[cfg(test)]
mod history;
#[cfg(test)]
mod machines;
#[cfg(test)]
mod recorded;
#[cfg(test)]
mod recorded_tasks;
#[cfg(test)]
mod replication;
#[cfg(test)]
mod settings;
#[cfg(test)]
mod shape;
#[cfg(test)]
mod storage_health;
#[cfg(test)]
mod tasks;
mod tickets;
#[cfg(test)]
mod transport;
#[cfg(test)]
mod values;
