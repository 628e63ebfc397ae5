"""The reading side of generations (spec 06.1): what the API maps, looks up and follows.

Lives here: ``dataset`` (one mapped file), ``generation`` (one verified folder), ``follower`` (which
generation is live). Does not belong here: building and publishing (``store.generations``), HTTP, or any
other module of ours.
"""

from store.serving.dataset import STATES, CorruptGeneration, Dataset, DatasetInfo, Guards
from store.serving.follower import GenerationEntry, Generations, Standing, Status, is_generation_id
from store.serving.frames import compressed, decompressed
from store.serving.generation import Generation, GenerationCounts, GenerationInfo, read_info

__all__ = [
    "STATES",
    "CorruptGeneration",
    "Dataset",
    "DatasetInfo",
    "Generation",
    "GenerationCounts",
    "GenerationEntry",
    "GenerationInfo",
    "Generations",
    "Guards",
    "Standing",
    "Status",
    "compressed",
    "decompressed",
    "is_generation_id",
    "read_info",
]
