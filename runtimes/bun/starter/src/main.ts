// A function to begin from: `/ping` answers `Pong`, any other path answers with what was asked.
export default async ({ req, res, log }: any) => {
  if (req.path === "/ping") {
    return res.text("Pong");
  }
  log("asked for", req.path);
  return res.json({ message: "It works. Now change it.", method: req.method, path: req.path });
};
