"""Data sets for training: SFT and RL rows as Parquet, split by video, decontaminated, with a card of real figures."""

from data_gen.sets.decontamination import Blocklist
from data_gen.sets.export import SetReport, SetSettings, export_sets

__all__ = ["Blocklist", "SetReport", "SetSettings", "export_sets"]
