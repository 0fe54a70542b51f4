// The function for workerd.
export default {
  async fetch(request) {
    return Response.json({ hello: (await request.json()).name });
  },
};
