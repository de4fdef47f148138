"""Kill things under load, and judge from the clients' journals and the stored rows that nothing was lost or doubled."""
