"""What the town knows and decides: places, components, people, cases, rules, clocks, scores. All SQL, no web."""
