// The grades of a tag, best first.

export const GRADES: readonly { grade: string; words: string }[] = [
  { grade: "confirmed", words: "a registered tag, and a firefly or an extension header says the same" },
  { grade: "registered", words: "a flow label whose pair is in the registry" },
  { grade: "disagree", words: "a firefly, or a second header, carries another tag" },
  { grade: "unregistered", words: "a flow label whose pair nobody has registered" },
  { grade: "claimed", words: "no tag in the packets, but a firefly names one" },
  { grade: "untagged", words: "label 0, IPv4, or no IP at all" },
];

export const GRADE_RANK: readonly string[] = GRADES.map(g => g.grade);
