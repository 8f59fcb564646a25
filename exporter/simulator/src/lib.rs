//! A PVE cluster in memory.
