DROP TABLE drawn_guards;
