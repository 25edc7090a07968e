/* The oddities' names and what an operator can do about each. */
#include "join/senders.h"

#define ANY FIREFLY_PRODUCER_COUNT

static const char *const names[CLAIM_ODDITIES] = {
	"no_start",      "clock",     "zero_usage",      "dead_number", "no_tag",
	"reversed_ends", "other_tag", "unmarked",        "unseen",      "bad_interval",
	"repaired",      "no_header", "private_address", "stranger",
};

/* The producer's own row before the one for all. */
static const struct hint {
	uint32_t oddity;
	unsigned int producer;
	const char *text;
} hints[] = {
	{CLAIM_NO_START, FIREFLY_XROOTD,
	 "The START was lost on its way, so what the connection carried before cannot be "
	 "taken off its byte counts: look for UDP loss between it and here."},
	{CLAIM_NO_START, ANY,
	 "It tells of flows whose START never came: look for UDP loss on its way, or a "
	 "sender that was configured to send no START."},
	{CLAIM_CLOCK, ANY,
	 "Its clock is more than 5 seconds off: check its time service (and this "
	 "machine's, if all senders are off). Its bytes are booked by our clock meanwhile."},
	{CLAIM_ZERO_USAGE, FIREFLY_FLOWD,
	 "flowd 1.x never says how many bytes a flow had: nothing is wrong, the bytes are "
	 "known from the wire only; scitag-marker says them."},
	{CLAIM_ZERO_USAGE, FIREFLY_FLOWD_GO,
	 "flowd-go says no usage, only TCP statistics: nothing is wrong, the bytes are "
	 "known from the wire only."},
	{CLAIM_ZERO_USAGE, FIREFLY_XROOTD,
	 "XRootD up to 5.4 says no byte counts: update it to 5.8 or later; if it is newer, "
	 "the transfer moved nothing."},
	{CLAIM_ZERO_USAGE, FIREFLY_DCACHE,
	 "dCache counts what its pool read from or wrote to disk: a transfer with 0 in "
	 "both directions moved nothing; look for failed transfers in the pool's billing."},
	{CLAIM_ZERO_USAGE, ANY,
	 "Its END says no bytes, or 0 both ways: let it fill in usage, else its flows' "
	 "bytes are known from the wire only."},
	{CLAIM_DEAD_NUMBER, FIREFLY_XROOTD,
	 "Its tag is not in the registry (16 and 23 are from the numbering of 2021): "
	 "renew the definitions its pmark defsfile names, and correct the client that "
	 "sends scitag.flow."},
	{CLAIM_DEAD_NUMBER, FIREFLY_DCACHE,
	 "Its tag is not in the registry: correct pool.firefly.vo-mapping, and the client "
	 "that sends scitag.flow."},
	{CLAIM_DEAD_NUMBER, ANY,
	 "Its tag is not in the registry (16 and 23 are from the numbering of 2021): "
	 "update its tags, or, if they are new, this observer's registry."},
	{CLAIM_NO_TAG, FIREFLY_XROOTD,
	 "XRootD got no usable scitag.flow (65 to 65535) and announces 0/0: let the client "
	 "send one; CMS software that sends the flow label's number instead (196664 for "
	 "206, cms-sw/cmssw#51227) must be updated."},
	{CLAIM_NO_TAG, FIREFLY_DCACHE,
	 "dCache knows no tag for this transfer: add the VO to pool.firefly.vo-mapping, or "
	 "let the client send scitag.flow."},
	{CLAIM_NO_TAG, FIREFLY_FLOWD,
	 "flowd was told 0 0 or an activity is missing: look at who writes its pipe (StoRM "
	 "writes 0 0 for a tag it cannot read)."},
	{CLAIM_NO_TAG, ANY,
	 "It names no tag, 0/0, or one outside 1023/63: set experiment and activity where "
	 "it takes them from."},
	{CLAIM_REVERSED, FIREFLY_XROOTD,
	 "XRootD before 5.8 always names the server as source, and so do later ones for "
	 "uploads by the root protocol: nothing is wrong, the wire's direction is used; "
	 "5.8 or later names HTTP uploads right."},
	{CLAIM_REVERSED, FIREFLY_DCACHE,
	 "dCache always names the remote party as source and counts as the pool sees it, "
	 "whatever the data's direction: nothing is wrong, the wire's direction is used."},
	{CLAIM_REVERSED, FIREFLY_FLOWD,
	 "flowd repeats source and destination as it was told: have the sender of the data "
	 "named as source by whoever writes its pipe; the wire's direction is used "
	 "meanwhile."},
	{CLAIM_REVERSED, ANY,
	 "It names the receiver of the data as source: exchange the ends; the wire's "
	 "direction is used meanwhile."},
	{CLAIM_OTHER_TAG, FIREFLY_XROOTD,
	 "Its packets carry another registered tag than it announces: XRootD announces "
	 "only the first file of a connection; compare its codes with those of whatever "
	 "marks its packets."},
	{CLAIM_OTHER_TAG, ANY,
	 "Its packets carry another registered tag than it announces: compare its "
	 "experiment and activity with those of whatever marks its packets."},
	{CLAIM_UNMARKED, FIREFLY_XROOTD,
	 "XRootD announces flows but does not mark their packets: run flowd-go or scitag-"
	 "marker beside it, over IPv6, and look for a device that clears flow labels if it "
	 "does."},
	{CLAIM_UNMARKED, FIREFLY_DCACHE,
	 "dCache announces flows but does not mark their packets: run flowd-go or scitag-"
	 "marker on the pool, over IPv6, and look for a device that clears flow labels if "
	 "it does."},
	{CLAIM_UNMARKED, ANY,
	 "It announces flows whose packets carry no tag: turn packet marking on there, use "
	 "IPv6, and look for a device on the way that clears flow labels."},
	{CLAIM_UNSEEN, FIREFLY_DCACHE,
	 "Its flows were not seen here: they pass elsewhere, or are too short for the "
	 "sampling; a START of dCache may also name the control connection's ports."},
	{CLAIM_UNSEEN, ANY,
	 "Its flows were not seen here: they pass elsewhere, are too short for the "
	 "sampling, or it names other addresses or ports than the wire; if none of its "
	 "flows is seen, no observation point covers its path."},
	{CLAIM_BAD_INTERVAL, FIREFLY_DCACHE,
	 "Its transfer ends before it starts or lasts more than 30 days, so no duration is "
	 "taken: update dCache, whose 11.x versions name wrong times in an END."},
	{CLAIM_BAD_INTERVAL, ANY,
	 "Its flow ends before it starts or lasts more than 30 days, so no duration is "
	 "taken: check its clock and where it takes the start time from."},
	{CLAIM_REPAIRED, ANY,
	 "dCache 11.0 to 11.2.1 names an interval of no length, and 11.2.2 and later one "
	 "that is shifted into the future by its own length: it was put right here, other "
	 "collectors show wrong times."},
	{CLAIM_NO_HEADER, FIREFLY_FLOWD_GO,
	 "flowd-go since 2.3.0 leaves the header's time of START and END empty: it is read "
	 "here, but the SciTags collectors drop such messages; ask for a version that "
	 "fills it in."},
	{CLAIM_NO_HEADER, FIREFLY_DCACHE,
	 "dCache 10.2 sends JSON without a header: it is read here, but the SciTags "
	 "collectors drop it; update to 11 or later."},
	{CLAIM_NO_HEADER, ANY,
	 "It sends no RFC 5424 header, or one without a time: it is read here, but the "
	 "SciTags collectors drop such messages."},
	{CLAIM_PRIVATE, ANY,
	 "It names a private address, which the wire outside never shows: announce the "
	 "public one, or let its fireflies leave by the same NAT as its flows, so that "
	 "both have one address."},
	{CLAIM_STRANGER, FIREFLY_FLOWD,
	 "It speaks for addresses that are not its own: flowd sends to collectors over "
	 "IPv4 only, so if this is the IPv4 address of the flow's host, name it in "
	 "firefly.relays; else find out who it is."},
	{CLAIM_STRANGER, ANY,
	 "It speaks for flows of which it is no end: if it is a relay, or another address "
	 "of one of the ends, name it in firefly.relays; else find out who it is."},
};

const char *claim_oddity_name(unsigned int bit)
{
	return bit < CLAIM_ODDITIES ? names[bit] : NULL;
}

const char *claim_oddity_hint(unsigned int bit, unsigned int producer)
{
	if (bit >= CLAIM_ODDITIES)
		return NULL;
	for (size_t i = 0; i < sizeof(hints) / sizeof(hints[0]); i++)
		if (hints[i].oddity == 1u << bit &&
		    (hints[i].producer == producer || hints[i].producer == ANY))
			return hints[i].text;
	return NULL;
}
