"""Made-up traffic: Hypothesis strategies, and what draws from them outside a test."""
