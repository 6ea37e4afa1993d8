"""What people do to data sets, one row each: how, which files must be named, as what, and what should be advised."""

from __future__ import annotations

from tests.checks.file_damages import FILES
from tests.checks.image_damages import IMAGES
from tests.checks.place_damages import PLACES
from tests.checks.town import Damage
from tests.checks.value_damages import VALUES

DAMAGES: tuple[Damage, ...] = (*FILES, *PLACES, *VALUES, *IMAGES)
