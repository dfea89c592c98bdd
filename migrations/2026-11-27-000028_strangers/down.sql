DELETE FROM state_edges WHERE life = 'organisations';
