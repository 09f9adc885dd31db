"""How does a net learn? The loop, its schedules and devices, its record, and the comparison the lab shows first."""
