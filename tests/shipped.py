"""The circuits that come with the package: those that it imports by name. A file that a user adds is beside them."""

from circuits import SOFTMAX_CIRCUITS
from circuits import softmax as package

SHIPPED = {name: kind for name, kind in SOFTMAX_CIRCUITS.items() if kind.__name__ in package.__all__}
MICROCIRCUITS = {name: kind for name, kind in SHIPPED.items() if kind.group == "microcircuit"}
