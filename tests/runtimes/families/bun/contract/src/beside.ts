export default "beside";
