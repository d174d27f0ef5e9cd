from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.errors import BadCall
from plugins.transcript.language import elect, known, spread_evenly
from plugins.transcript.sound.vad import cut
from plugins.transcript.sound.windows import LENGTH, RATE, Window, next_window, pieces, share_out


@st.composite
def regions(draw: st.DrawFn) -> list[tuple[int, int]]:
    """Regions in order, from a cough to an hour without a breath."""
    clock, found = 0, []
    for gap, length in draw(st.lists(st.tuples(st.integers(0, 20 * RATE), st.integers(1, 100 * RATE)), max_size=30)):
        clock += gap
        found.append((clock, clock + length))
        clock += length
    return found


@given(regions(), st.integers(1, 8))
def test_lanes_hold_all_speech_once_and_in_order(regions: list[tuple[int, int]], most: int) -> None:
    lanes = share_out(regions, most)

    assert len(lanes) <= most
    spans = [span for lane in lanes for span in lane.spans]
    assert all(one[1] <= other[0] for one, other in pairwise(spans))
    for start, end in regions:
        assert sum(max(min(end, last) - max(start, first), 0) for first, last in spans) == end - start


def test_lanes_are_of_about_the_same_length_and_none_is_short() -> None:
    minutes = [(at * 60 * RATE, (at * 60 + 40) * RATE) for at in range(30)]

    assert [round(lane.seconds) for lane in share_out(minutes, 4)] == [320, 280, 320, 280]
    assert len(share_out(minutes[:4], 4)) == 2, "three windows each"


@given(regions(), st.lists(st.integers(1, LENGTH), min_size=200, max_size=200))
def test_window_after_window_a_lane_is_heard_whole(regions: list[tuple[int, int]], heard: list[int]) -> None:
    for lane in share_out(regions, 1):
        reached, found = 0, list[int]()
        for most in heard:
            window = next_window(lane.after(reached), regions)
            assert window.samples <= LENGTH
            found += [sample for span in window.first(most).spans for sample in span[:1]]
            reached += min(most, window.samples)
            if reached == lane.samples:
                break
        assert found == sorted(found)


def test_a_window_ends_in_the_longest_rest_of_its_last_sixth() -> None:
    lane = Window(((0, 20 * RATE), (40 * RATE, 80 * RATE)))
    rests = [(5 * RATE, 8 * RATE), (45 * RATE, 47 * RATE), (48 * RATE, 49 * RATE), (52 * RATE, 58 * RATE)]

    assert next_window(lane, rests).spans == ((0, 20 * RATE), (40 * RATE, 46 * RATE))
    assert next_window(lane, rests[:1]).samples == LENGTH, "a rest at second 6 is too early"
    late = Window(((0, 26 * RATE), (40 * RATE, 80 * RATE)))
    assert next_window(late, [(25 * RATE, 41 * RATE)]).spans == ((0, 26 * RATE),), "most of that silence is left out"
    assert next_window(Window(((0, 25 * RATE),)), rests).samples == 25 * RATE, "it is the last"


def test_a_window_ends_in_a_pause_of_its_last_half_where_its_last_sixth_has_none() -> None:
    lane = Window(((0, 60 * RATE),))
    short, pause, early = (
        (start, start + length) for start, length in ((27 * RATE, 4000), (18 * RATE, 12000), (9 * RATE, 12000))
    )

    assert next_window(lane, [pause, short]).samples == 18 * RATE + 6000
    assert next_window(lane, [early, short]).samples == 27 * RATE + 2000, "nothing longer is late enough"


@given(regions(), st.floats(0, 30), st.floats(0, 5))
def test_a_word_lies_in_one_region_of_the_lecture(regions: list[tuple[int, int]], start: float, lasts: float) -> None:
    for window in pieces(share_out(regions, 2)):
        begin, end = window.to_lecture(start, start + lasts)
        assert begin <= end
        assert any(first / RATE - 1e-6 <= begin and end <= last / RATE + 1e-6 for first, last in window.spans)


def test_the_way_back_to_the_lecture_s_clock() -> None:
    window = Window(((10 * RATE, 12 * RATE), (100 * RATE, 104 * RATE)))

    assert window.to_lecture(0.5, 1.0) == (10.5, 11.0)
    assert window.to_lecture(2.5, 3.0) == (100.5, 101.0)
    assert window.to_lecture(1.9, 2.5) == (100.0, 100.5), "most of it is after the seam"
    assert window.to_lecture(1.5, 2.1) == (11.5, 12.0), "most of it is before the seam"


class TestCut:
    """Regions of speech that are longer than a window."""

    def test_the_longest_rest_in_the_last_third_ends_a_part(self) -> None:
        rests = [(5 * RATE, 8 * RATE), (21 * RATE, 22 * RATE), (25 * RATE, 27 * RATE), (31 * RATE, 39 * RATE)]

        assert list(cut((0, 50 * RATE), rests, LENGTH)) == [(0, 26 * RATE), (26 * RATE, 50 * RATE)]

    def test_who_never_rests_is_cut_where_the_window_is_full(self) -> None:
        assert list(cut((0, 70 * RATE), [], LENGTH)) == [(0, LENGTH), (LENGTH, 2 * LENGTH), (2 * LENGTH, 70 * RATE)]

    @given(
        st.integers(1, 200 * RATE), st.lists(st.tuples(st.integers(0, 200 * RATE), st.integers(1, RATE)), max_size=50)
    )
    def test_parts_are_all_of_the_region_and_fit(self, length: int, rests: list[tuple[int, int]]) -> None:
        parts = list(cut((0, length), sorted((start, start + lasts) for start, lasts in rests), LENGTH))

        assert (parts[0][0], parts[-1][1]) == (0, length)
        assert all(one[1] == other[0] for one, other in pairwise(parts))
        assert all(0 < end - start <= LENGTH for start, end in parts)


class TestLanguage:
    def test_the_majority_wins_and_the_others_are_told(self) -> None:
        votes = [{"fr": 0.6, "en": 0.4}, {"fr": 0.55, "en": 0.45}, {"fr": 0.05, "en": 0.95}]

        verdict = elect(votes)

        assert (verdict.language, verdict.probability, verdict.alternatives) == ("fr", 0.4, {"en": 0.6})

    def test_windows_that_vote_are_from_all_over_the_lecture(self) -> None:
        assert spread_evenly(100, 5) == [10, 30, 50, 70, 90]
        assert spread_evenly(2, 5) == [0, 1]

    @pytest.mark.parametrize(("tag", "code"), [("fr", "fr"), ("fr-CA", "fr"), ("EN_us", "en"), ("french", "fr")])
    def test_tags_are_read_as_whisper_s_codes(self, tag: str, code: str) -> None:
        assert known(tag) == code

    @pytest.mark.parametrize("tag", ["xx", "klingon", "", "fra"])
    def test_an_unknown_language_is_refused_with_a_remedy(self, tag: str) -> None:
        with pytest.raises(BadCall, match=r"no language that whisper knows: give its ISO 639-1 code"):
            known(tag)
