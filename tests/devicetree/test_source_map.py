"""Places of nodes and properties, from dtc's own annotated output."""

from dtanalyze.devicetree.source_map import Place, read_annotated

# `reg = <0x2000 0x100>;` behind a tab ends in column 22, which dtc calls 23.
# As Debian's dtc 1.6.1 printed it for two files that were written for this test.
PRINTED = r"""/dts-v1/;

/ { /* a.dtsi:1:3-10:3, b.dts:4:3-12:3, b.dts:19:3-20:15 */
	#address-cells = <0x01>; /* b.dts:5:2-5:23 */

	soc: soc { /* a.dtsi:2:11-9:4, b.dts:19:9-20:12 */
		ranges; /* b.dts:20:2-20:9 */
		phandle = <0x01>; /* <no-file>:<no-line> */

		uart0: console: serial@1000 { /* a.dtsi:3:22-8:5, b.dts:13:8-18:3 */
			compatible = "a\"b /* x */ {", "c;\n};"; /* a.dtsi:4:4-4:44 */
			reg = <0x2000 0x100>; /* b.dts:15:2-15:23 */
			data = [01 02 03]; /* a.dtsi:6:4-7:9 */

			uart-child { /* b.dts:16:13-17:4 */
			}; /* b.dts:16:13-17:4 */
		}; /* a.dtsi:3:22-8:5, b.dts:13:8-18:3 */
	}; /* a.dtsi:2:11-9:4, b.dts:19:9-20:12 */

	__symbols__ { /* <no-file>:<no-line> */
		soc = "/soc"; /* <no-file>:<no-line> */
	}; /* <no-file>:<no-line> */
}; /* a.dtsi:1:3-10:3, b.dts:4:3-12:3, b.dts:19:3-20:15 */
"""
MAP = read_annotated(PRINTED)
UART = "/soc/serial@1000"


def test_a_property_stands_where_it_was_last_written() -> None:
    assert MAP.place(UART, "reg") == Place("b.dts", 15, 2, 15, 22)
    assert MAP.place(UART, "data") == Place("a.dtsi", 6, 4, 7, 8), "a value over two lines"
    assert MAP.place("/soc", "ranges") == Place("b.dts", 20, 2, 20, 8), "a property without a value"
    assert MAP.place("/", "#address-cells") == Place("b.dts", 5, 2, 5, 22)


def test_what_a_string_holds_is_no_structure() -> None:
    assert MAP.place(UART, "compatible") == Place("a.dtsi", 4, 4, 4, 43)


def test_a_node_has_all_the_places_that_wrote_to_it() -> None:
    assert [str(place) for place in MAP.nodes[UART]] == ["a.dtsi:3:22", "b.dts:13:8"]
    assert MAP.place(UART) == Place("a.dtsi", 3, 22, 3, 22)
    assert MAP.place(f"{UART}/uart-child") == Place("b.dts", 16, 13, 16, 13)


def test_what_has_no_place_is_where_its_node_was_last_opened() -> None:
    assert MAP.place(UART, "status") == Place("b.dts", 13, 8, 13, 8)
    assert MAP.place("/soc", "phandle") == Place("b.dts", 19, 9, 19, 9)
    assert MAP.place("/soc/unknown/deeper", "reg") == Place("b.dts", 19, 9, 19, 9)
    assert MAP.place("/unknown") == Place("a.dtsi", 1, 3, 1, 3)


def test_nothing_is_known_of_text_without_places() -> None:
    assert read_annotated("").place("/") is None
    assert read_annotated("/ {\n};\n").place("/", "reg") is None
