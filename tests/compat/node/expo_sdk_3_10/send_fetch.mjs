// What Expo's documentation shows for fetch, with a literal URL. Prints the answer as it came.
// Input: the push token in argv[2].
const answer = await fetch("https://exp.host/--/api/v2/push/send", {
  method: "POST",
  headers: { Accept: "application/json", "Accept-encoding": "gzip, deflate", "Content-Type": "application/json" },
  body: JSON.stringify({ to: process.argv[2], sound: "default", title: "Hello", data: { someData: "goes here" } }),
});
console.log(await answer.text());
