"""Networks to and from NIR, the neuromorphic intermediate representation; imported lazily."""

from spikefuse.interop.nir.export import save_nir as save_nir
from spikefuse.interop.nir.export import to_nir as to_nir
from spikefuse.interop.nir.graph import NirNetwork as NirNetwork
from spikefuse.interop.nir.graph import Node as Node
from spikefuse.interop.nir.import_ import from_nir as from_nir
from spikefuse.interop.nir.import_ import load_nir as load_nir
from spikefuse.interop.nir.profiles import LossyExportError as LossyExportError
