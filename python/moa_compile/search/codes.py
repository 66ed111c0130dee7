"""The numbered errors of this package. A code is never given to another meaning."""

CODES = {
    "MOA7400": "A Python package that is needed is missing or too old.",
    "MOA7401": "The model folder cannot be loaded, or its attention cannot be replaced through the transformers attention interface.",
    "MOA7402": "A line of the data file cannot be used.",
    "MOA7403": "A length has no sample.",
    "MOA7404": "An option or a length is wrong.",
    "MOA7405": "A loss or an influence is not finite.",
    "MOA7406": "A partial file belongs to other inputs, or is damaged.",
    "MOA7407": "The request file of a validation is wrong.",
    "MOA7408": "Out of memory.",
    "MOA7409": "The output file cannot be written.",
    "MOA7410": "The model's config is not understood, or describes attention that no plan is for.",
    "MOA7411": "The layers of the model differ in what a plan has once, or attend in another way than the config says.",
    "MOA7412": "The files of the model changed while they were read or used.",
    "MOA7413": "Python failed in a way that is not known.",
    "MOA7420": "A line of the questions cannot be used.",
    "MOA7421": "Too few questions have contexts that fill a length.",
    "MOA7422": "The texts cannot be read, or are too short.",
    "MOA7423": "A length is too short for a question and its answer.",
    "MOA7424": "The tokenizer has no chat template, or one that fails.",
    "MOA7425": "The dense model answered none of the first questions right.",
    "MOA7426": "The dense model answers too few questions right.",
    "MOA7430": "The request of an evaluation is wrong.",
    "MOA7431": "A package attends in another way than the mask that it stands for.",
}

USER, MACHINE, PACKAGES = 2, 1, 3
"""Exit statuses: what the user gave is wrong, the machine failed, packages are missing."""

_STATUS = {"MOA7400": PACKAGES, "MOA7408": MACHINE, "MOA7409": MACHINE, "MOA7413": MACHINE}


class MoaError(Exception):
    """A numbered error that is printed without a traceback."""

    def __init__(self, code: str, message: str, help: str):
        assert code in CODES
        super().__init__(message)
        self.code = code
        self.message = message
        self.help = help

    @property
    def status(self) -> int:
        return _STATUS.get(self.code, USER)

    def __str__(self) -> str:
        one_line = " ".join(self.message.split())
        return f"error {self.code}: {one_line}\n    help: {self.help}"
