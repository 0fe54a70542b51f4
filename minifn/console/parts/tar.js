// @ts-check
// Packs a few text files into a .tar.gz (the format ustar), in the browser.

const BLOCK = 512;
const encoder = new TextEncoder();

/** @param {Record<string, string>} files path -> content @returns {Promise<Blob>} */
export function packed(files) {
	const blocks = Object.entries(files).flatMap(([name, content]) => member(name, encoder.encode(content)));
	const archive = new Blob([...blocks, new Uint8Array(2 * BLOCK)]);
	return new Response(archive.stream().pipeThrough(new CompressionStream("gzip"))).blob();
}

/** Return a file's header, its content, and the zeros after it. @param {string} name @param {Uint8Array<ArrayBuffer>} content */
function member(name, content) {
	const header = new Uint8Array(BLOCK);
	/** @param {string} text @param {number} at @param {number} room */
	const write = (text, at, room) => {
		const bytes = encoder.encode(text);
		if (bytes.length > room) throw new Error(`The name ${name} is too long.`);
		header.set(bytes, at);
	};
	const octal = (value, digits) => value.toString(8).padStart(digits, "0");
	const [folder, file] = parted(name);
	write(file, 0, 100);
	write(octal(0o644, 7), 100, 8);
	write(octal(0, 7), 108, 8);
	write(octal(0, 7), 116, 8);
	write(octal(content.length, 11), 124, 12);
	write(octal(Math.floor(Date.now() / 1000), 11), 136, 12);
	write("        ", 148, 8);
	write("0", 156, 1);
	write("ustar\x0000", 257, 8);
	write(folder, 345, 155);
	const sum = header.reduce((total, byte) => total + byte, 0);
	write(`${octal(sum, 6)}\0 `, 148, 8);
	return [header, content, new Uint8Array((BLOCK - (content.length % BLOCK)) % BLOCK)];
}

/** Part a long name between its folder and its file, as ustar stores it. @param {string} name */
function parted(name) {
	if (encoder.encode(name).length <= 100) return ["", name];
	const at = name.lastIndexOf("/");
	return [name.slice(0, Math.max(at, 0)), name.slice(at + 1)];
}
