"""Traffic on the lanes, parked cars, people, cyclists, signs and traffic lights."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from fassd.synthesis.furniture import add_bin, add_bollard, add_sign, add_traffic_light
from fassd.synthesis.light import Weather
from fassd.synthesis.mesh import Mesh
from fassd.synthesis.people import add_bicycle, add_motorcycle, add_pedestrian, add_rider
from fassd.synthesis.plan import PARKING, Plan
from fassd.synthesis.sides import CURB
from fassd.synthesis.trucks import add_bus, add_tram, add_truck
from fassd.synthesis.vehicles import add_car

Random = np.random.Generator


def add_traffic(mesh: Mesh, random: Random, plan: Plan, weather: Weather) -> None:
    """Adds vehicles, people, signs and bollards."""
    lamps = weather.lit > 0.03
    red = bool(random.random() < 0.5)
    _park(mesh, random, plan, lamps)
    _drive(mesh, random, plan, lamps, red)
    _cycle(mesh, random, plan, lamps)
    _walk(mesh, random, plan, weather.name == "rain")
    _put_signs(mesh, random, plan, red)
    _stand(mesh, random, plan)


def _park(mesh: Mesh, random: Random, plan: Plan, lamps: bool) -> None:
    """Parked cars at the curb, and sometimes other vehicles."""
    for side, used in zip((-1, 1), plan.parked, strict=True):
        along, density = random.uniform(2, 9), random.uniform(0.35, 0.95)
        while used and along < 110:
            across = side * (plan.road.half_width - PARKING / 2 + random.normal(0, 0.08))
            heading = plan.road.heading(along) + (np.pi if side < 0 else 0) + random.normal(0, 0.015)
            free = not plan.at_junction(along, 6) and not any(-3 < along - zebra < 7 for zebra in plan.zebras)
            place = plan.road.place(across, along)
            if free and random.random() < density:
                if random.random() < 0.05:
                    with mesh.at("truck", plan.road.place(across, along + 2), heading):
                        add_truck(mesh, random, False)
                    along += 5
                elif random.random() < 0.06:
                    with mesh.at("motorcycle", place, heading + side * 0.9):
                        add_motorcycle(mesh, random, False)
                else:
                    with mesh.at("car", place, heading):
                        add_car(mesh, random, False)
            along += random.uniform(5.6, 6.6)


def _drive(mesh: Mesh, random: Random, plan: Plan, lamps: bool, red: bool) -> None:
    """Traffic on every lane; it waits at red lights."""
    builders: dict[str, Callable[[], None]] = {
        "car": lambda: add_car(mesh, random, lamps, red and bool(random.random() < 0.5)),
        "truck": lambda: add_truck(mesh, random, lamps),
        "bus": lambda: add_bus(mesh, random, lamps),
        "train": lambda: add_tram(mesh, random, lamps),
        "motorcycle": lambda: _ride(mesh, random, True, lamps),
    }
    lengths = {"car": 5.0, "truck": 9.5, "bus": 12.5, "train": 27.0, "motorcycle": 2.5}
    tram_lane = int(random.choice([-1, -1, 1])) if plan.road.rails else 0
    for number in (*range(-plan.lanes, 0), *range(1, plan.lanes + 1)):
        own = abs(plan.lane(number) - plan.own_lane) < 0.5
        along = random.uniform(11, 26) if own else random.uniform(3, 22)
        while along < 150:
            kind = str(random.choice(list(builders), p=[0.79, 0.085, 0.075, 0.0, 0.05]))
            if number == tram_lane:
                kind, tram_lane = "train", 0
            long = lengths[kind]
            middle = along + long / 2
            blocked = plan.at_junction(middle, long / 2) and random.random() < 0.7
            if not blocked:
                across = plan.lane(number) + random.normal(0, 0.15) * (kind != "train")
                heading = plan.road.heading(middle) + (np.pi if number < 0 else 0)
                with mesh.at(kind, plan.road.place(across, middle), heading):
                    builders[kind]()
            along += long + random.uniform(2, 6) if red and number > 0 and along < 45 else long + random.uniform(6, 45)


def _ride(mesh: Mesh, random: Random, motor: bool, lamps: bool) -> None:
    """A bicycle or motorcycle with its rider."""
    if motor:
        add_motorcycle(mesh, random, lamps)
    else:
        add_bicycle(mesh, random)
    with mesh.part("rider"):
        add_rider(mesh, random, motor)


def _cycle(mesh: Mesh, random: Random, plan: Plan, lamps: bool) -> None:
    """Cyclists at the edge of the road, some crossing it, and parked bicycles."""
    edge = plan.road.half_width - (PARKING if any(plan.parked) else 0) - 0.5
    for _ in range(int(random.integers(0, 4))):
        along, side = random.uniform(6.5, 38), int(random.choice([-1, 1]))
        turn = (np.pi if side < 0 else 0) + random.normal(0, 0.06)
        across = side * edge
        if random.random() < 0.3:
            turn, across = random.choice([-np.pi / 2, np.pi / 2]) + random.normal(0, 0.3), random.uniform(-edge, edge)
        with mesh.at("bicycle", plan.road.place(across, along), plan.road.heading(along) + turn):
            _ride(mesh, random, False, lamps)
    for _ in range(int(random.integers(0, 3))):
        side, along = int(random.choice([-1, 1])), random.uniform(5, 30)
        if plan.at_junction(along, 3):
            continue
        turn = random.choice([0.0, np.pi / 2, 1.2])
        for number in range(int(random.integers(1, 5))):
            across = side * (plan.road.half_width + 0.55 + 0.3 * (turn > 0))
            place = plan.road.place(across, along + number * 0.75, CURB)
            with mesh.at("bicycle", place, turn + random.normal(0, 0.08)):
                add_bicycle(mesh, random)


def _walk(mesh: Mesh, random: Random, plan: Plan, rain: bool) -> None:
    """People on the pavements, alone and in groups, and on crossings."""
    busy = {"city": 13, "town": 8, "suburb": 4, "park": 6}[plan.kind]
    for _ in range(int(random.poisson(busy))):
        side, along = int(random.choice([-1, 1])), 4.5 + 70 * random.random() ** 1.4
        low, high = plan.road.half_width + 0.5, plan.front(side) - 0.3
        across, turn = random.uniform(low, high), random.choice([0.0, np.pi]) + random.normal(0, 0.2)
        together = int(random.choice([1, 2, 3], p=[0.7, 0.22, 0.08]))
        for number in range(together):
            place = plan.road.place(side * (across + 0.55 * number), along + random.normal(0, 0.12), CURB)
            with mesh.at("person", place, turn + random.normal(0, 0.1)):
                add_pedestrian(mesh, random, rain and random.random() < 0.6)
    for zebra in (*plan.zebras, *(start - 2 for start, _ in plan.junctions)):
        for _ in range(int(random.integers(0, 4))):
            across = random.uniform(-plan.road.half_width, plan.road.half_width)
            turn = random.choice([-np.pi / 2, np.pi / 2]) + random.normal(0, 0.15)
            with mesh.at("person", plan.road.place(across, zebra + random.uniform(0.3, 3)), turn):
                add_pedestrian(mesh, random, rain and random.random() < 0.6)


def _put_signs(mesh: Mesh, random: Random, plan: Plan, red: bool) -> None:
    """Traffic lights at the first side street, and signs. Those of the other direction are seen from behind."""
    if plan.signals:
        start, end = plan.junctions[0]
        for side in (-1, 1):
            across = side * (plan.road.half_width + 0.55)
            reach = -side * random.uniform(3.0, 5.0) if random.random() < 0.5 else 0.0
            along = start - 1.2 if side > 0 else end + 1.2
            with mesh.at("pole", plan.road.place(across, along, CURB), plan.road.heading(along)):
                add_traffic_light(mesh, random, reach, 0 if red else 2)
        with mesh.at("pole", plan.road.place(plan.road.half_width + 0.55, end + 1.2, CURB)):
            add_traffic_light(mesh, random, 0.0, 0 if red else 2)
    for _ in range(int(random.integers(2, 7))):
        side, along = int(random.choice([-1, 1], p=[0.35, 0.65])), random.uniform(7, 60)
        if plan.at_junction(along):
            continue
        away = np.pi if side < 0 and random.random() < 0.6 else 0.0
        place = plan.road.place(side * (plan.road.half_width + 0.5), along, CURB)
        with mesh.at("pole", place, plan.road.heading(along) + away + random.normal(0, 0.08)):
            add_sign(mesh, random)


def _stand(mesh: Mesh, random: Random, plan: Plan) -> None:
    """Bollards, bins and switch boxes."""
    for side in (-1, 1):
        if random.random() < 0.3:
            start = random.uniform(4, 25)
            for along in np.arange(start, start + 14, 1.8):
                if not plan.at_junction(float(along), 1):
                    with mesh.at("pole", plan.road.place(side * (plan.road.half_width + 0.4), float(along), CURB)):
                        add_bollard(mesh, random)
        if random.random() < 0.5:
            along = random.uniform(6, 40)
            if not plan.at_junction(along, 2):
                place = plan.road.place(side * (plan.front(side) - 0.5), along, CURB)
                with mesh.at("static", place, side * np.pi / 2):
                    add_bin(mesh, random)
