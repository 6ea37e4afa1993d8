"""Draws facades: walls, windows, doors, shops. Channels: red, green, blue, gloss, emission."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import PIL.Image
import PIL.ImageDraw

from fassd.synthesis.mesh import Array, Color
from fassd.synthesis.textures import stains

Random = np.random.Generator

# Linear colors of building materials.
_WALLS: dict[str, tuple[Color, ...]] = {
    "plaster": ((0.62, 0.55, 0.40), (0.66, 0.62, 0.54), (0.52, 0.36, 0.22), (0.58, 0.44, 0.34), (0.45, 0.46, 0.44),
                (0.60, 0.50, 0.28), (0.36, 0.42, 0.46), (0.70, 0.68, 0.64)),
    "brick": ((0.26, 0.10, 0.06), (0.30, 0.14, 0.08), (0.36, 0.22, 0.13), (0.20, 0.09, 0.06)),
    "stone": ((0.42, 0.38, 0.31), (0.34, 0.32, 0.29), (0.48, 0.43, 0.34)),
    "concrete": ((0.34, 0.34, 0.33), (0.42, 0.41, 0.39)),
    "glass": ((0.16, 0.18, 0.20), (0.10, 0.13, 0.15)),
}  # fmt: skip
_AWNINGS: tuple[Color, ...] = ((0.4, 0.04, 0.04), (0.03, 0.12, 0.25), (0.05, 0.2, 0.08), (0.5, 0.35, 0.05),
                                (0.06, 0.06, 0.07), (0.5, 0.48, 0.44))  # fmt: skip


@dataclass(frozen=True)
class Front:
    """The look of a facade.

    Attributes:
        material: a key of the table of walls.
        wall, trim: colors.
        width, height: meters.
        story, bay: distance of floors and of windows, in meters.
        window: width and height as shares of bay and story.
        shop: whether there is a shop on the ground floor.
        lit: share of lit windows.
        seed: of the details.
    """

    material: str
    wall: Color
    trim: Color
    width: float
    height: float
    story: float
    bay: float
    window: tuple[float, float]
    shop: bool
    lit: float
    seed: int


def choose_front(random: Random, width: float, height: float, lit: float) -> Front:
    """A random facade of the given size in meters."""
    material = str(random.choice(list(_WALLS), p=[0.45, 0.25, 0.14, 0.1, 0.06]))
    walls = _WALLS[material]
    wall = tuple((np.array(walls[random.integers(len(walls))]) * random.uniform(0.8, 1.15)).tolist())
    trim = tuple((np.array(wall) * (0.55 if random.random() < 0.4 else 1.35)).clip(0, 0.78).tolist())
    if material == "glass":
        window = (0.92, random.uniform(0.62, 0.86))
    else:
        window = (random.uniform(0.36, 0.6), random.uniform(0.46, 0.62))
    stories, bays = max(1, round(height / random.uniform(2.9, 3.6))), max(1, round(width / random.uniform(2.2, 3.6)))
    shop = bool(random.random() < 0.45 and stories > 1)
    seed = int(random.integers(2**31))
    return Front(material, wall, trim, width, height, height / stories, width / bays, window, shop, lit, seed)


@dataclass
class _Sheet:
    """A facade being drawn: colors, gloss and emission; coordinates in meters from the left and the ground."""

    front: Front
    scale: float
    random: Random

    def __post_init__(self) -> None:
        size = (max(8, round(self.front.width * self.scale)), max(8, round(self.front.height * self.scale)))
        # The fourth channel holds gloss below 128 and emission above.
        self.image = PIL.Image.new("RGBA", size, (*_byte(self.front.wall), 0))
        self._pen = PIL.ImageDraw.Draw(self.image)

    @property
    def night(self) -> float:
        """The visible emission of a lamp; small by day."""
        return 1.0 if self.front.lit > 0.3 else 0.22

    def box(
        self, left: float, bottom: float, right: float, top: float, color: Color, gloss: float = 0.0, glow: float = 0
    ) -> None:
        high = self.front.height
        corners = (
            round(left * self.scale),
            round((high - top) * self.scale),
            round(right * self.scale) - 1,
            round((high - bottom) * self.scale) - 1,
        )
        if corners[2] >= corners[0] and corners[3] >= corners[1]:
            extra = 128 + round(glow * 127) if glow > 0.01 else round(gloss * 127)
            self._pen.rectangle(corners, (*_byte(color), extra))


def draw_front(front: Front, scale: float, plain: bool = False) -> Array:
    """The facade, or only its wall, with `scale` texels per meter: (height, width, 5) float32."""
    sheet = _Sheet(front, scale, np.random.default_rng(front.seed))
    if not plain:
        _draw_openings(sheet)
    values = np.array(sheet.image)
    colors = values[..., :3] * np.float32(1 / 255)
    extras = values[..., 3:].astype(np.float32) / 127
    colors *= _weather(sheet, values[..., 3] < 3)[..., None]
    return np.concatenate([colors * colors, np.where(extras > 1, 0.05, extras), np.maximum(extras - 1, 0)], -1)


def _draw_openings(sheet: _Sheet) -> None:
    front = sheet.front
    stories, bays = round(front.height / front.story), round(front.width / front.bay)
    door = int(sheet.random.integers(bays))
    blind = _tone(sheet.random.choice([0.5, 0.3, 0.12]), sheet.random)
    for floor in range(stories):
        base = floor * front.story
        if floor == 0 and front.shop:
            _shop(sheet, door)
            continue
        for bay in range(bays):
            if floor == 0 and bay == door:
                _door(sheet, bay * front.bay)
            else:
                _window(sheet, bay * front.bay, base, blind)
    _bands(sheet, stories)


def _byte(color: Color) -> tuple[int, int, int]:
    # Stored as square roots: 8 linear bits would show steps on dark walls.
    red, green, blue = (round(255 * min(1.0, max(0.0, value)) ** 0.5) for value in color)
    return red, green, blue


def _times(color: Color, factor: float) -> Color:
    return color[0] * factor, color[1] * factor, color[2] * factor


def _tone(value: float, random: Random) -> Color:
    return _times((1.0, float(random.uniform(0.85, 1)), float(random.uniform(0.7, 1))), value)


def _pane(sheet: _Sheet, left: float, bottom: float, right: float, top: float) -> None:
    """Glass with dark rooms behind, curtains, or a lamp at night."""
    random = sheet.random
    if random.random() < sheet.front.lit:
        warm = random.uniform(0.45, 0.8)
        shade = 0.2 + 0.7 * (sheet.night == 1)
        sheet.box(
            left,
            bottom,
            right,
            top,
            _times((1, 0.65 * warm + 0.17, 0.4 * warm), shade),
            0.05,
            random.uniform(0.3, 0.95) * sheet.night,
        )
        return
    sheet.box(
        left, bottom, right, top, _times((0.035, 0.042, 0.05), random.uniform(0.5, 1.6)), random.uniform(0.2, 0.5)
    )
    if random.random() < 0.45:
        curtain = _tone(random.uniform(0.12, 0.4), random)
        share = random.uniform(0.15, 0.35) * (right - left)
        sheet.box(left, bottom, left + share, top, curtain, 0.15)
        sheet.box(right - share, bottom, right, top, curtain, 0.15)
    elif random.random() < 0.3:
        sheet.box(left, bottom + random.uniform(0.2, 0.8) * (top - bottom), right, top, _tone(0.35, random), 0.15)


def _window(sheet: _Sheet, offset: float, base: float, blind: Color) -> None:
    front = sheet.front
    width, height = front.bay * front.window[0], front.story * front.window[1]
    left, bottom = offset + (front.bay - width) / 2, base + front.story * 0.3
    right, top = left + width, min(bottom + height, base + front.story * 0.94)
    if front.material == "glass":
        bottom, top = base + front.story * (1 - front.window[1]) / 2, base + front.story * (1 + front.window[1]) / 2
    else:
        sheet.box(left - 0.14, bottom - 0.1, right + 0.14, top + 0.16, front.trim)
        sheet.box(left - 0.2, bottom - 0.2, right + 0.2, bottom - 0.08, _times(front.trim, 1.15))
        sheet.box(left - 0.16, bottom - 0.32, right + 0.16, bottom - 0.2, _times(front.wall, 0.6))
        # The reveal of the wall, in shadow above and on one side.
        sheet.box(left, bottom, right, top, _times(front.wall, 0.25))
        left, top = left + 0.08, top - 0.12
    frame = (0.6, 0.6, 0.58) if front.seed % 3 else (0.06, 0.05, 0.045)
    sheet.box(left, bottom, right, top, frame)
    middle = (left + right) / 2
    _pane(sheet, left + 0.06, bottom + 0.06, middle - 0.03, top - 0.06)
    _pane(sheet, middle + 0.03, bottom + 0.06, right - 0.06, top - 0.06)
    if front.material == "plaster" and front.seed % 4 == 0:
        for edge in (left - 0.2 - width * 0.42, right + 0.14):
            sheet.box(edge, bottom - 0.05, edge + width * 0.42, top + 0.1, blind)
    elif sheet.random.random() < 0.12:
        sheet.box(left, bottom + sheet.random.uniform(0.1, 0.7) * (top - bottom), right, top, blind)


def _door(sheet: _Sheet, offset: float) -> None:
    front = sheet.front
    middle, half = offset + front.bay / 2, min(0.62, front.bay * 0.35)
    top = min(2.5, front.story * 0.86)
    color = _times(_AWNINGS[front.seed % len(_AWNINGS)], 0.5)
    sheet.box(middle - half - 0.16, 0, middle + half + 0.16, top + 0.2, front.trim)
    sheet.box(middle - half, 0, middle + half, top, _times(color, 0.4))
    sheet.box(middle - half + 0.06, 0.05, middle + half, top * 0.82, color, 0.06)
    sheet.box(middle - half * 0.6, 1.1, middle + half * 0.6, top * 0.78, (0.05, 0.06, 0.07), 0.4)
    sheet.box(middle - half + 0.06, top * 0.85, middle + half, top - 0.06, (0.05, 0.06, 0.07), 0.4, front.lit * 0.5)


def _shop(sheet: _Sheet, door: int) -> None:
    front, random = sheet.front, sheet.random
    color = _AWNINGS[front.seed % len(_AWNINGS)]
    sheet.box(0, 0, front.width, front.story, _times(front.trim, 0.7))
    for bay in range(round(front.width / front.bay)):
        left, right = bay * front.bay + 0.18, (bay + 1) * front.bay - 0.18
        sheet.box(left, 0.1, right, front.story * 0.74, (0.08, 0.08, 0.08))
        bottom = 0.1 if bay == door else 0.55
        lit = front.lit + 0.15
        glow = random.uniform(0.3, 0.9) * sheet.night * (front.lit > 0) if random.random() < lit * 2 else 0.0
        sheet.box(left + 0.08, bottom, right - 0.08, front.story * 0.72, (0.07, 0.065, 0.06), 0.4, glow)
        for _ in range(6 if sheet.scale > 9 else 0):  # goods
            x, y = random.uniform(left + 0.1, right - 0.5), random.uniform(bottom, front.story * 0.5)
            goods = tuple((random.random(3) * 0.35).tolist())
            sheet.box(x, y, x + random.uniform(0.1, 0.4), y + random.uniform(0.1, 0.5), goods, 0.3, glow * 0.6)
    sheet.box(
        0.1, front.story * 0.76, front.width - 0.1, front.story * 0.94, color, 0.05, front.lit * sheet.night * 0.35
    )
    x = front.width * random.uniform(0.1, 0.35)
    ink = (0.75, 0.72, 0.66) if max(color) < 0.45 else (0.04, 0.04, 0.05)
    for _ in range(int(random.integers(4, 10))):  # an illegible sign
        wide = random.uniform(0.16, 0.34)
        low = front.story * 0.80
        sheet.box(
            x, low, x + wide, low + front.story * random.uniform(0.06, 0.1), ink, 0.0, front.lit * sheet.night * 0.6
        )
        x += wide + 0.1


def _bands(sheet: _Sheet, stories: int) -> None:
    """Courses of stone between floors, a plinth, the cornice under the roof."""
    front = sheet.front
    if front.material != "glass" and front.seed % 2:
        for floor in range(1, stories):
            line = floor * front.story
            sheet.box(0, line - 0.04, front.width, line + 0.14, _times(front.trim, 1.05))
            sheet.box(0, line - 0.12, front.width, line - 0.04, _times(front.wall, 0.6))
    if not front.shop and front.material != "glass":
        sheet.box(0, 0, front.width, 0.35, _times(front.wall, 0.6))
    top = front.height
    sheet.box(0, top - 0.42, front.width, top - 0.3, _times(front.wall, 0.5))
    sheet.box(0, top - 0.3, front.width, top, _times(front.trim, 1.1))
    sheet.box(front.width - 0.12, 0, front.width - 0.02, top, _times(front.wall, 0.45))  # a rainpipe


def _weather(sheet: _Sheet, wall: Array) -> Array:
    """Stains, grain and the joints of bricks and stones, as a factor on the square root of the color."""
    noise, size = stains(), wall.shape
    begin = sheet.random.integers(256, size=2)
    rows, columns = np.arange(size[0]), np.arange(size[1])
    factor = 1 + 0.035 * noise[(begin[0] + rows) % 256][:, (begin[1] + columns) % 256]
    factor += 0.02 * noise[(begin[1] + rows // 4) % 256][:, (begin[0] + columns * 2) % 256]
    course = {"brick": 0.075, "stone": 0.42, "concrete": 1.5}.get(sheet.front.material)
    if course and course * sheet.scale > 1.6:
        high = rows / sheet.scale
        row = np.floor(high / course)
        length = course * 3 if course < 0.5 else course * 1.6
        across = (columns[None] / sheet.scale + (row[:, None] % 2) * length / 2) / length
        joint = ((high % course) * sheet.scale < 1)[:, None] | ((across % 1) * length * sheet.scale < 1)
        factor = np.where(joint & wall, factor * (1.16 if sheet.front.material == "brick" else 0.86), factor)
        tone = noise[row.astype(int)[:, None] * 37 % 256, (np.floor(across).astype(int) * 17) % 256]
        factor = np.where(wall, factor * (1 + 0.05 * tone), factor)
    # Rain and exhaust darken walls near the ground.
    depth = (size[0] - rows) / sheet.scale
    weathered: Array = (factor * (1 - 0.12 * np.exp(-depth / 0.8))[:, None]).astype(np.float32)
    return weathered
