"""Pictures on matplotlib: of runs, studies, sensitivities, costs; all drawn from plain data.

They import nothing of the report, the card and the closing screen, which show them.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
