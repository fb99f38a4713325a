# include in a Makefile that builds trees: `make dtanalyze` checks each, and again only when it changed.
#   DTBS := board.dtb
#   include dtanalyze.mk
DTANALYZE ?= dtanalyze
CHECK_ARGS ?=

%.dtb.checked: %.dtb
	$(DTANALYZE) check $(CHECK_ARGS) -- '$<'
	@touch '$@'

.PHONY: dtanalyze
dtanalyze: $(addsuffix .checked,$(DTBS))
