// Types that the console's modules share; none of this is shipped.

type Json = Record<string, any>;
type Child = Node | string | number | null | undefined | false;
type Children = Child | Child[];
/** `onclick` and the like are listeners, all others are attributes. */
type Props = Record<string, any>;
type Query = Record<string, string | number | boolean | string[] | undefined>;

interface Session {
	project: string;
	engine: string;
	cluster: boolean;
	version: string;
	endpoint: string;
	functionsDomain: string;
	/** The key that the session was begun with; empty for the operator. */
	keyName: string;
	operator: boolean;
}

/** The arguments of a page. `query` is that of the address; `setQuery` changes it without a new page. */
interface Page {
	params: string[];
	query: URLSearchParams;
	main: HTMLElement;
	signal: AbortSignal;
	session: Session;
	title: (text: string) => void;
	go: (path: string, replace?: boolean) => void;
	reload: () => void;
	setQuery: (changes: Record<string, string>) => void;
}

interface Column<T> {
	key: string;
	title: string;
	cell: (row: T) => Children;
	number?: boolean;
}

interface Overview {
	functionId: string;
	name: string;
	runtime: string;
	enabled: boolean;
	state: string;
	stateText: string;
	deploymentId: string;
	deployedAt: string;
	schedule: string;
	nextRunAt: string;
	calls: number;
	failures: number;
	p50: number;
	p95: number;
	series: [number, number][];
	lastError: string;
	lastErrorAt: string;
	url: string;
}

interface Run {
	functionId: string;
	at: string;
	past: boolean;
	status: string;
	executionId: string;
}

interface Schedule {
	now: string;
	runs: Run[];
	functions: { functionId: string; schedule: string; next: string[] }[];
}

interface Header {
	name: string;
	value: string;
}

interface Asked {
	method: string;
	path: string;
	headers: Record<string, string>;
	body: string;
}

interface Answered {
	request: Asked;
	body: string;
	headers: Header[];
}

interface StoredFile {
	path: string;
	size: number;
	binary: boolean;
}

type Line = [" " | "+" | "-", string];
type Point = { at: string; value: number; bad?: number };
type Tone = "ok" | "bad" | "warn" | "busy" | "off";

/** How a terminal prints now. */
interface Style {
	color: string;
	back: string;
	bold: boolean;
	dim: boolean;
	italic: boolean;
	underline: boolean;
}
