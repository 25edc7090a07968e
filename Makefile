# One file, no recursion. `make help` lists what it can do; V=1 shows commands; B=DIR builds elsewhere.
# A room is a folder with its sources; `main.c` and `*.bpf.c` apart they become build/lib/ROOM.a.

B       ?= build
CC      ?= cc
CLANG   ?= clang
PREFIX  ?= /usr/local
DESTDIR ?=
VERSION := $(shell sed -n 's/^## \([0-9][^ ]*\).*/\1/p' CHANGELOG.md 2>/dev/null | head -n 1)

.DEFAULT_GOAL := all
.DELETE_ON_ERROR:
.SECONDARY:
MAKEFLAGS += --no-builtin-rules

Q := $(if $(V),,@)
say = $(Q)$(if $(V),,printf '  %-6s %s\n' '$(1)' '$@';)

WARN := -Wall -Wextra -Wshadow -Wpointer-arith -Wstrict-prototypes -Wmissing-prototypes -Wvla \
        -Wundef -Wformat=2 -Wwrite-strings -Wno-unused-parameter
CPPFLAGS += -I. -D_GNU_SOURCE -DSCITAG_VERSION='"$(or $(VERSION),0.0.0)"'
CFLAGS   ?= -O2 -g
CSTD     := -std=gnu11 -pthread -fno-strict-aliasing
HARDEN   := -fstack-protector-strong -fPIE
SANITIZE := -O1 -g -fsanitize=address,undefined -fno-sanitize-recover=all -fno-omit-frame-pointer
LDLIBS   := -Wl,--as-needed -lpcap -lxdp -lbpf -lsqlite3 -lmicrohttpd -ljansson -lyaml -lcurl \
            -lmaxminddb -lnettle -lsystemd -lz -lpthread -lm

# --- rooms: who needs whom, for linking (style: the include map) -------------------------------
ROOMS := base wire sflow firefly registry xdp store join web observer marker cli
NEEDS_sflow := base
NEEDS_firefly := base
NEEDS_registry := base
NEEDS_xdp := base
NEEDS_store := base
NEEDS_join := store registry firefly base
NEEDS_web := join store registry firefly base
NEEDS_observer := join xdp sflow firefly registry store base
NEEDS_marker := firefly registry base
NEEDS_cli := join observer marker web store sflow firefly registry xdp base
closure = $(sort $(1) $(foreach r,$(1),$(NEEDS_$(r))))

room_sources = $(filter-out %/main.c %.bpf.c,$(wildcard $(1)/*.c))
lib   = $(B)/lib/$(1).a
libs  = $(foreach r,$(call closure,$(1)),$(if $(call room_sources,$(r)),$(call lib,$(r))))
slibs = $(foreach r,$(call closure,$(1)),$(if $(call room_sources,$(r)),$(B)/san/lib/$(r).a))
group = -Wl,--start-group $(1) -Wl,--end-group

# --- BPF objects and their skeletons ------------------------------------------------------------
BPF_INC := -I/usr/include/$(shell $(CC) -print-multiarch 2>/dev/null)
BPF_SOURCES := $(wildcard xdp/*.bpf.c marker/*.bpf.c)
SKELETONS := $(BPF_SOURCES:%.bpf.c=$(B)/%.skel.h)
CPPFLAGS += -I$(B)

$(B)/%.bpf.o: %.bpf.c
	$(call say,BPF)mkdir -p $(@D) && $(CLANG) -target bpf -mcpu=v3 -O2 -g -Wall -Wextra -Wno-unused-parameter -I. $(BPF_INC) \
		-MMD -MP -MF $(@:.o=.d) -c $< -o $@
$(B)/%.skel.h: $(B)/%.bpf.o
	$(call say,SKEL)bpftool gen skeleton $< name $(notdir $*)_bpf > $@

# --- the page -----------------------------------------------------------------------------------
PAGE_SOURCES := $(shell find web/static -type f -not -path '*/node_modules/*' 2>/dev/null) docs/page.md docs/reading.md
$(B)/web/.done: $(PAGE_SOURCES)
	$(call say,PAGE)mkdir -p $(@D) && sh web/static/build.sh $(abspath $(B)/web) && touch $@
page: $(B)/web/.done ## the dashboard: npm ci when needed, esbuild, compressed

# --- objects ------------------------------------------------------------------------------------
$(B)/obj/%.o: %.c | $(SKELETONS)
	$(call say,CC)mkdir -p $(@D) && $(CC) $(CSTD) $(CPPFLAGS) $(CFLAGS) $(HARDEN) $(WARN) -MMD -MP -c $< -o $@
$(B)/san/obj/%.o: %.c | $(SKELETONS)
	$(call say,CC)mkdir -p $(@D) && $(CC) $(CSTD) $(CPPFLAGS) $(SANITIZE) $(WARN) -MMD -MP -c $< -o $@
# what an assembler directive embeds, -MMD does not see
$(B)/obj/registry/registry.o $(B)/san/obj/registry/registry.o: registry/scitags.json
$(B)/obj/store/sqlite.o $(B)/san/obj/store/sqlite.o: store/schema.sql
# whoever embeds the page waits for it
$(B)/obj/web/assets.o $(B)/san/obj/web/assets.o: $(B)/web/.done

define room_rules
$(B)/lib/$(1).a: $(patsubst %.c,$(B)/obj/%.o,$(call room_sources,$(1)))
	$$(call say,AR)mkdir -p $$(@D) && rm -f $$@ && ar rcs $$@ $$^
$(B)/san/lib/$(1).a: $(patsubst %.c,$(B)/san/obj/%.o,$(call room_sources,$(1)))
	$$(call say,AR)mkdir -p $$(@D) && rm -f $$@ && ar rcs $$@ $$^
endef
$(foreach r,$(ROOMS),$(eval $(call room_rules,$(r))))

# --- programs -----------------------------------------------------------------------------------
PROGRAMS := $(if $(wildcard observer/main.c),$(B)/scitag-observer) \
            $(if $(wildcard marker/main.c),$(B)/scitag-marker) $(if $(wildcard cli/main.c),$(B)/scitag)
all: $(PROGRAMS) ## build the programs

$(B)/scitag-observer: $(B)/obj/observer/main.o $(call libs,observer web)
	$(call say,LD)$(CC) $(CFLAGS) -pie -Wl,-z,relro,-z,now -o $@ $< $(call group,$(filter %.a,$^)) $(LDFLAGS) $(LDLIBS)
$(B)/scitag-marker: $(B)/obj/marker/main.o $(call libs,marker)
	$(call say,LD)$(CC) $(CFLAGS) -pie -Wl,-z,relro,-z,now -o $@ $< $(call group,$(filter %.a,$^)) $(LDFLAGS) $(LDLIBS)
$(B)/scitag: $(B)/obj/cli/main.o $(call libs,cli)
	$(call say,LD)$(CC) $(CFLAGS) -pie -Wl,-z,relro,-z,now -o $@ $< $(call group,$(filter %.a,$^)) $(LDFLAGS) $(LDLIBS)

# --- tests --------------------------------------------------------------------------------------
# A unit test links the rooms whose headers it includes, and what those need.
TESTS := $(patsubst tests/unit/%.c,$(B)/san/%,$(wildcard tests/unit/test_*.c))
rooms_of = $(shell sed -n 's|^\#include "\([a-z]*\)/.*|\1|p' $(1) | sort -u | grep -vx -e tests -e wire)
define test_rules
$(B)/san/$(1): $(B)/san/obj/tests/unit/$(1).o $(call slibs,$(call rooms_of,tests/unit/$(1).c))
	$$(call say,LD)$$(CC) $$(SANITIZE) -o $$@ $$< $$(call group,$$(filter %.a,$$^)) -lcmocka $$(LDLIBS)
endef
$(foreach t,$(notdir $(TESTS)),$(eval $(call test_rules,$(t))))

check: $(TESTS) ## unit tests on every vector, under ASan and UBSan; needs no root
	$(Q)sh tests/run.sh unit $(TESTS)

# Fuzz targets: clang's libFuzzer; each links what it includes, tests/fuzz/corpus/NAME is kept.
FUZZ := -O1 -g -fsanitize=address,undefined -fno-sanitize-recover=all
$(B)/fuzz/obj/%.o: %.c | $(SKELETONS)
	$(call say,CC)mkdir -p $(@D) && $(CLANG) $(CSTD) $(CPPFLAGS) $(FUZZ) -fsanitize=fuzzer-no-link -MMD -MP -c $< -o $@
$(B)/fuzz/obj/registry/registry.o: registry/scitags.json
$(B)/fuzz/obj/store/sqlite.o: store/schema.sql
$(B)/fuzz/obj/web/assets.o: $(B)/web/.done
define fuzz_room_rules
$(B)/fuzz/lib/$(1).a: $(patsubst %.c,$(B)/fuzz/obj/%.o,$(call room_sources,$(1)))
	$$(call say,AR)mkdir -p $$(@D) && rm -f $$@ && ar rcs $$@ $$^
endef
$(foreach r,$(ROOMS),$(eval $(call fuzz_room_rules,$(r))))
flibs = $(foreach r,$(call closure,$(1)),$(if $(call room_sources,$(r)),$(B)/fuzz/lib/$(r).a))
FUZZERS := $(patsubst tests/fuzz/%.c,$(B)/fuzz/%,$(wildcard tests/fuzz/fuzz_*.c))
define fuzz_rules
$(B)/fuzz/$(1): $(B)/fuzz/obj/tests/fuzz/$(1).o $(call flibs,$(call rooms_of,tests/fuzz/$(1).c))
	$$(call say,FUZZ)$$(CLANG) $$(FUZZ) -fsanitize=fuzzer -o $$@ $$< $$(call group,$$(filter %.a,$$^)) $$(LDLIBS)
endef
$(foreach t,$(notdir $(FUZZERS)),$(eval $(call fuzz_rules,$(t))))
FUZZ_SECONDS ?= 10
fuzz: $(FUZZERS) ## FUZZ_SECONDS=n a target, over the kept corpus
	$(Q)FUZZ_SECONDS=$(FUZZ_SECONDS) sh tests/run.sh fuzz $(FUZZERS)

# Programs of tests/bpf: one C file each, with a BPF object beside it.
BPF_TEST_OBJECTS := $(patsubst %.bpf.c,$(B)/%.bpf.o,$(wildcard tests/bpf/*.bpf.c))
BPF_TESTS := $(patsubst tests/bpf/%.c,$(B)/bpf/%,$(wildcard tests/bpf/test_*.c))
define bpf_test_rules
$(B)/bpf/$(1): $(B)/obj/tests/bpf/$(1).o $(call libs,$(call rooms_of,tests/bpf/$(1).c)) | $(BPF_TEST_OBJECTS)
	$$(call say,LD)mkdir -p $$(@D) && $$(CC) -o $$@ $$< $$(call group,$$(filter %.a,$$^)) -lcmocka $$(LDLIBS)
endef
$(foreach t,$(notdir $(BPF_TESTS)),$(eval $(call bpf_test_rules,$(t))))
bpf: $(BPF_TESTS) $(BPF_TEST_OBJECTS) ## the vectors through programs loaded into the kernel; root
	$(Q)BPF_OBJECTS=$(B)/tests/bpf sh tests/run.sh bpf $(BPF_TESTS)

# Simulations: plain programs of the rooms, too much for the sanitizers' pace.
DAY_TESTS := $(patsubst tests/day/%.c,$(B)/day/%,$(wildcard tests/day/test_*.c))
$(DAY_TESTS): $(B)/day/%: $(B)/obj/tests/day/%.o $(call libs,observer)
	$(call say,LD)mkdir -p $(@D) && $(CC) -o $@ $< $(call group,$(filter %.a,$^)) -lcmocka $(LDLIBS)
day: $(DAY_TESTS) ## a simulated day through the join, against its truth
	$(Q)sh tests/run.sh day $(DAY_TESTS)

tests-built: $(TESTS) $(FUZZERS) $(DAY_TESTS) $(BPF_TESTS) $(BPF_TEST_OBJECTS)

E2E ?= $(sort $(wildcard tests/e2e/[0-9]*.sh))
e2e: all ## network namespaces, real traffic, the page in Chromium; root
	$(Q)BIN=$(abspath $(B)) sh tests/run.sh e2e $(E2E)
browser: all ## only the page's tests
	$(Q)BIN=$(abspath $(B)) sh tests/run.sh e2e $(sort $(wildcard tests/e2e/*browser*.sh))

test: ## everything: installs what is missing, builds, runs all tests; root
	$(Q)sh tests/test.sh

BENCHES := $(patsubst tests/bench/%.c,$(B)/bench/%,$(wildcard tests/bench/bench_*.c))
define bench_rules
$(B)/bench/$(1): $(B)/obj/tests/bench/$(1).o $(call libs,$(call rooms_of,tests/bench/$(1).c))
	$$(call say,LD)mkdir -p $$(@D) && $$(CC) -o $$@ $$< $$(call group,$$(filter %.a,$$^)) $$(LDLIBS)
endef
$(foreach t,$(notdir $(BENCHES)),$(eval $(call bench_rules,$(t))))
benches: $(BENCHES) $(DAY_TESTS)
bench: ## figures: ratios against a floor or a peer of the same run, medians; root
	$(Q)$(MAKE) --no-print-directory deps
	$(Q)$(MAKE) --no-print-directory all benches
	$(Q)BIN=$(abspath $(B)) sh tests/bench/run.sh

# --- the rest -----------------------------------------------------------------------------------
deps: ## install what Debian packages are missing; root
	$(Q)sh packaging/deps.sh
demo: ## install, build, show live traffic in a browser; DEMO_SECONDS=n ends it; root
	$(Q)$(MAKE) --no-print-directory deps
	$(Q)$(MAKE) --no-print-directory -j$(shell nproc) all
	$(Q)BIN=$(abspath $(B)) sh packaging/demo.sh

SOURCES := $(foreach r,$(ROOMS),$(wildcard $(r)/*.[ch])) $(wildcard tests/*/*.[ch])
format: ## put every C file into the house's shape
	$(Q)clang-format -i $(SOURCES)
lint: ## format, include map, shell, warnings of the other compiler
	$(Q)clang-format --dry-run -Werror $(SOURCES)
	$(Q)sh tests/lint.sh
	$(Q)$(MAKE) --no-print-directory B=$(B)/clang CC=$(CLANG) all

# manual page and completion come from the program's own tables
$(B)/man/scitag.1: $(B)/scitag
	$(call say,MAN)mkdir -p $(@D) && $< --man > $@
$(B)/man/scitag-marker.8: marker/scitag-marker.8 $(B)/scitag-marker
	$(call say,MAN)mkdir -p $(@D) && $(B)/scitag-marker --man > $@.options && \
		sed -e '/@OPTIONS@/r $@.options' -e '/@OPTIONS@/d' $< > $@ && rm $@.options
$(B)/completion/scitag: $(B)/scitag
	$(call say,GEN)mkdir -p $(@D) && $< completion bash > $@

install: all $(B)/man/scitag.1 $(B)/man/scitag-marker.8 $(B)/completion/scitag ## into DESTDIR and PREFIX
	$(Q)install -d $(DESTDIR)$(PREFIX)/bin $(DESTDIR)$(PREFIX)/sbin
	$(Q)install -m 755 $(B)/scitag $(DESTDIR)$(PREFIX)/bin/
	$(Q)install -m 755 $(filter-out $(B)/scitag,$(PROGRAMS)) $(DESTDIR)$(PREFIX)/sbin/
	$(Q)install -d $(DESTDIR)$(PREFIX)/share/man/man1 $(DESTDIR)$(PREFIX)/share/bash-completion/completions
	$(Q)install -m 644 $(B)/man/scitag.1 $(DESTDIR)$(PREFIX)/share/man/man1/
	$(Q)install -d $(DESTDIR)$(PREFIX)/share/man/man8
	$(Q)install -m 644 $(B)/man/scitag-marker.8 $(DESTDIR)$(PREFIX)/share/man/man8/
	$(Q)install -m 644 $(B)/completion/scitag $(DESTDIR)$(PREFIX)/share/bash-completion/completions/

clean: ## remove what was built
	rm -rf $(B)
help: ## this list
	$(Q)awk -F':.*## ' '/^[a-z0-9-]+:.*## /{printf "  %-10s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

.PHONY: tests-built benches all page check fuzz day bpf e2e browser test bench deps demo format lint install clean help
-include $(shell find $(B) -name '*.d' 2>/dev/null)
