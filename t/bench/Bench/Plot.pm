# Plots as SVG, by gnuplot: a title, what the axes mean, and series of numbers. It only draws what it is given.
package Bench::Plot;

use strict;
use warnings;

use Exporter qw(import);

our @EXPORT_OK = qw(bars lines);

use constant { WIDTH => 760, HEIGHT => 340 };

my @colours = map { "#$_" } qw(1f6fb4 d9822b 3a9b58 8c5aa8 b03a48 777777);

sub quoted { my ($text) = @_; return '"' . $text =~ s/(["\\])/\\$1/gr . '"' }

sub draw {
    my ($file, $height, @commands) = @_;
    open my $gnuplot, '|-', 'gnuplot' or die "gnuplot: $!\n";
    print {$gnuplot} "set terminal svg size @{[WIDTH]},$height font 'sans,12' background '#ffffff'\nset output ", quoted($file), "\n",
        "set style line 100 lc rgb '#dddddd'\nset grid ls 100\nset border 3 lc rgb '#777777'\nset tics nomirror\n", @commands;
    close $gnuplot or die "$file: gnuplot ended with $?\n";
    return;
}

# Series: { title, points => [[x, y], ..], right => true for the second axis }. Options: x, y, y2: what the axes
# mean; marks: [x, text].
sub lines {
    my ($file, $title, $options, @series) = @_;
    my @commands = ("set title ", quoted($title), "\nset xlabel ", quoted($options->{x}), "\nset ylabel ", quoted($options->{y}), "\nset yrange [0:*]\n",
        "set key outside bottom center horizontal\nset bmargin 5.5\n");
    push @commands, 'set y2label ', quoted($options->{y2}), "\nset y2tics\nset y2range [0:*]\nset border 11\n" if $options->{y2};
    for my $mark (@{ $options->{marks} // [] }) {
        push @commands, "set arrow from first $mark->[0], graph 0 to first $mark->[0], graph 1 nohead dt 2 lc rgb '#b03a48'\n",
            'set label ', quoted($mark->[1]), " at first $mark->[0], graph 0.95 offset 0.5,0 tc rgb '#b03a48'\n";
    }
    for my $i (0 .. $#series) {
        push @commands, "\$data$i << EOD\n", (map { "@$_\n" } @{ $series[$i]{points} }), "EOD\n";
    }
    push @commands, 'plot ', join(', ', map {
        my $axes = $series[$_]{right} ? 'x1y2' : 'x1y1';
        "\$data$_ using 1:2 axes $axes with linespoints pt 7 ps 0.3 lw 2 lc rgb '$colours[$_ % @colours]' title " . quoted($series[$_]{title})
    } 0 .. $#series), "\n";
    return draw($file, HEIGHT, @commands);
}

# One group of bars for each row; names: of the bars in a group. Rows: [title, value, ..], values from 0.
sub bars {
    my ($file, $title, $y, $names, @rows) = @_;
    my @commands = ('set title ', quoted($title), "\nset ylabel ", quoted($y), "\nset yrange [0:*]\nset style data histograms\n",
        "set style histogram clustered gap 1\nset style fill solid 0.9 noborder\nset boxwidth 0.9\nset xtics rotate by -20 scale 0\nset key outside top center horizontal\n",
        "\$data << EOD\n", (map { join(' ', quoted($_->[0]), map { $_ // '?' } @$_[ 1 .. $#$_ ]) . "\n" } @rows), "EOD\nset datafile missing '?'\n");
    push @commands, 'plot ', join(', ', map {
        '$data using ' . ($_ + 2) . ':xtic(1) lc rgb ' . "'$colours[$_ % @colours]'" . ' title ' . quoted($names->[$_])
    } 0 .. $#$names), "\n";
    return draw($file, HEIGHT + 60, @commands);
}

1;
