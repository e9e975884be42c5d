"""The one exception a user sees: what is wrong, and what to do about it."""


class ResNetsError(Exception):
    """Something the user can mend.

    Printed as two sentences by the command line (exit status 2) and answered as one JSON error by the server.
    Everything else keeps its traceback, because it is a fault of ours.
    """

    def __init__(self, problem: str, remedy: str) -> None:
        super().__init__(problem, remedy)
        self.problem = problem
        self.remedy = remedy

    def __str__(self) -> str:
        return f"{self.problem} {self.remedy}"
