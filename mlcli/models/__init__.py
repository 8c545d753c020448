"""Model specifications turned into layers: shapes, parameter counts and initial weights, in numpy alone."""
