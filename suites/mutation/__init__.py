"""The mutation score: what the suite catches of seeded faults, and whether legal arithmetic alarms it. Nobody in the product imports it."""
