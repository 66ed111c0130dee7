"""Speed, memory and energy of a model on a package beside the same model dense, on the user's
machine (`moa-compile measure`, docs/measure.md). `timing` and `energy` serve the project's own
benchmarks too."""
