"""What happened to each delivery: kept in memory, searched and waited for by tests. Bounded; it decides nothing."""
