// Escape closes the search wherever the focus is; the theme does so only in the search field.
document.addEventListener("keydown", (event) => {
  const search = document.getElementById("pst-search-dialog");
  if (event.key === "Escape" && !event.isComposing && search && search.open) {
    search.close();
  }
});
